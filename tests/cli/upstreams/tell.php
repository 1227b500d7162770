<?php
// Notes each request in the file TOLD; what it says stands in files of php/, as the server finds them.
file_put_contents(getenv("TOLD"), json_encode([
    "method" => $_SERVER["REQUEST_METHOD"],
    "target" => $_SERVER["REQUEST_URI"],
    "headers" => array_filter($_SERVER, "is_string"),
    "body" => file_get_contents("php://input"),
], JSON_INVALID_UTF8_SUBSTITUTE) . "\n", FILE_APPEND);
