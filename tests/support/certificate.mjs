// A certificate for localhost that nobody else has signed.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { makeFolder } from "./folder.mjs";

/** Its key, the certificate, and the file in which that stands. */
export function makeCertificate() {
  const folder = makeFolder("certificate");
  const [key, file] = ["key.pem", "cert.pem"].map((name) => join(folder, name));
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  execFileSync("openssl", ["req", "-x509", ...curve, ...name, "-keyout", key, "-out", file], {
    stdio: "pipe",
  });
  return { key: readFileSync(key), cert: readFileSync(file), file };
}
