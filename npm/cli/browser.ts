// Opens the user's browser.

import { spawn } from "node:child_process";

import { isLoopback } from "./checker.js";

/** The program that opens an address, with what stands before it. */
function opener(): readonly [string, ...string[]] {
  switch (process.platform) {
    case "darwin":
      return ["open"];
    case "win32":
      return ["rundll32", "url.dll,FileProtocolHandler"];
    default:
      return ["xdg-open"];
  }
}

/**
 * Opens an address, and answers whether a program for it began. It is one argument of that program:
 * no shell reads it.
 */
export async function openBrowser(
  url: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<boolean> {
  if (!url.startsWith("https://") && !isLoopback(url)) return false;
  const isBare =
    process.platform === "linux" && !env["DISPLAY"] && !env["WAYLAND_DISPLAY"] && !env["BROWSER"];
  if (isBare) return false;
  const [program, ...args] = opener();
  return new Promise((resolve) => {
    const child = spawn(program, [...args, url], { stdio: "ignore", detached: true });
    child.once("error", () => resolve(false));
    child.once("spawn", () => {
      child.unref();
      resolve(true);
    });
  });
}
