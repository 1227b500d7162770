<?php
require __DIR__ . "/../tell.php";
echo "told";
