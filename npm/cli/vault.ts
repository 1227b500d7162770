// Where tokens are kept between two runs: the system's keyring, or a file that nobody else can read.

import { randomUUID } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

import type { Configuration } from "./configuration.js";
import { EXIT, Failure, fileFailure, misconfigured } from "./failure.js";
import { home } from "./home.js";

export type VaultKind = "keyring" | "file" | "none";

/** Holds one text. */
export interface Vault {
  readonly kind: VaultKind;
  /** What a user calls it. */
  readonly where: string;
  read(): string | undefined;
  write(text: string): void;
  /** Fails where a text could not be written now, before anything is used up to get one. */
  prove(): void;
  remove(): void;
  /** How long a text of several tokens may be; what was kept longest gives way. */
  readonly room: number;
  /** When it was written last, in milliseconds since 1970, where that is known. */
  writtenAt(): number | undefined;
  /** The file by which processes take turns. */
  readonly lockPath: string;
}

/** Three tokens at their limits. */
const LONGEST = 1024 * 1024;
/** Of tokens that are kept for their convenience, in characters. */
const ROOM = 256 * 1024;
/** There has to be room for this much, in bytes, before tokens are asked for: most logins are shorter. */
const LEAST = 16 * 1024;
/** Windows keeps 2560 bytes for each entry, two for a character. */
const WINDOWS_ROOM = 1280;

/** @throws Failure where the keyring was asked for by name and there is none, or no place for a file */
export async function openVault(configuration: Configuration): Promise<Vault> {
  const asked = configuration.text("store") as VaultKind | undefined;
  const isProgram = configuration.text("flow") === "client_credentials";
  const kind = asked ?? (isProgram ? "none" : undefined);
  if (kind === "none") return nowhere;
  const path = pathOf(configuration);
  if (kind === "keyring" || (kind === undefined && configuration.text("storePath") === undefined)) {
    const keyring = await openKeyring(path, configuration.server ?? "default", kind === "keyring");
    if (typeof keyring !== "string") return keyring;
    if (kind === "keyring") {
      throw misconfigured(`${configuration.found("store")?.where}: no keyring: ${keyring}`);
    }
  }
  return fileVault(path);
}

/** `~/.gatepass/SERVER/tokens.json`, or where it is said to be. */
function pathOf(configuration: Configuration): string {
  const given = configuration.text("storePath");
  if (given !== undefined && !/^~(?:\/|$)/u.test(given)) {
    // The working directory may be gone.
    return onDisk(given, "read", () => resolve(given));
  }
  const own = home();
  if (own === undefined) {
    throw misconfigured(
      "There is no home folder to keep tokens in: HOME is empty, or this user has none.",
      `Say where with ${configuration.namesOf("storePath")}.`,
    );
  }
  if (given !== undefined) return join(own, given.slice(1));
  // A server's name is chosen by whoever wrote the file; it is one segment and no way elsewhere.
  const server = encodeURIComponent(configuration.server ?? "default").replace(/^\.+$/u, "_");
  return join(own, ".gatepass", server, "tokens.json");
}

export const nowhere: Vault = {
  kind: "none",
  where: "nowhere",
  room: 0,
  read: () => undefined,
  write: () => {},
  prove: () => {},
  remove: () => {},
  writtenAt: () => undefined,
  lockPath: "",
};

function makeFolder(path: string): void {
  const folder = dirname(path);
  onDisk(folder, "written", () => {
    if (existsSync(folder)) checkFolder(path);
    else makeWithParents(folder);
  });
}

/** A folder that others can write is not used: what is in it may be theirs. */
function checkFolder(path: string): void {
  if (!hasModes) return;
  const folder = dirname(path);
  const { mode } = statSync(folder);
  if ((mode & OF_OTHERS) !== 0) {
    const advice = isCommon(folder)
      ? " and is not yours to narrow; give another --store-path"
      : FIX;
    throw refuse(folder, `can be written by others (${octal(mode)})${advice}`);
  }
  narrow(path);
}

/** One by one: Node's own way does not end where the system makes no folders, as below /proc. */
function makeWithParents(folder: string): void {
  const parent = dirname(folder);
  if (!existsSync(parent)) makeWithParents(parent);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    // Another process made it meanwhile.
    if (!existsSync(folder)) throw error;
  }
}

/** @throws Failure with what the system says */
function onDisk<T>(path: string, can: "read" | "written", work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw fileFailure(error, path, can);
  }
}

/**
 * Takes from others what they may do in a folder that holds nothing but tokens and is one's own. What
 * else lies in a folder is not ours to hide: there the mode of the file has to do.
 */
function narrow(path: string): void {
  if (!hasModes) return;
  const folder = dirname(path);
  const { mode, uid } = statSync(folder);
  // A folder that others can write is another matter: what is in it may be theirs.
  if ((mode & 0o077) === 0 || (mode & OF_OTHERS) !== 0 || uid !== process.getuid?.()) return;
  const isOurs = readdirSync(folder).every((name) => name.startsWith(basename(path, ".lock")));
  if (isOurs && folder !== home()) chmodSync(folder, 0o700);
}

function fileVault(path: string): Vault {
  return {
    kind: "file",
    where: path,
    room: ROOM,
    lockPath: `${path}.lock`,
    read() {
      let text: string;
      try {
        checkMode(path);
        if (statSync(path).size > LONGEST) throw refuse(path, "is too large to be ours");
        text = readFileSync(path, "utf8");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw fileFailure(error, path, "read");
      }
      return text;
    },
    writtenAt() {
      try {
        return Math.floor(statSync(path).mtimeMs);
      } catch {
        return undefined;
      }
    },
    // All of it or nothing, whenever this is interrupted.
    write: (text) => withDraft(path, text, (draft) => renameSync(draft, path)),
    prove() {
      const { size = 0 } =
        onDisk(path, "read", () => statSync(path, { throwIfNoEntry: false })) ?? {};
      withDraft(path, "\n".repeat(Math.max(2 * size, LEAST)), (draft) => rmSync(draft));
    },
    remove: () => onDisk(path, "written", () => rmSync(path, { force: true })),
  };
}

/** Writes a text beside a file, all of it and to the disk, before it is used. */
function withDraft(path: string, text: string, use: (draft: string) => void): void {
  makeFolder(path);
  const draft = `${path}.${randomUUID()}`;
  const write = (): void => {
    const file = openSync(draft, "wx", 0o600);
    try {
      // Not writeSync, which may write a part where there is little room left.
      writeFileSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    use(draft);
  };
  onDisk(path, "written", () => {
    try {
      write();
    } catch (error) {
      rmSync(draft, { force: true });
      throw error;
    }
  });
}

/** The bits by which others may write. */
const OF_OTHERS = 0o022;

/** Windows has no such modes: there the folders of users are their own. */
const hasModes = process.platform !== "win32";

const FIX = "; gatepass status --fix-perms narrows it";

/** A file that others could have read or written is not used: its tokens may be known, or not ours. */
function checkMode(path: string): void {
  const file = lstatSync(path);
  if (!file.isFile()) throw refuse(path, "is no plain file");
  if (!hasModes) return;
  const isWide = (mode: number): boolean => (mode & 0o077) !== 0;
  if (isWide(file.mode)) throw refuse(path, `can be used by others (${octal(file.mode)})${FIX}`);
  checkFolder(path);
  if (process.getuid !== undefined && file.uid !== process.getuid()) {
    throw refuse(path, "belongs to another user");
  }
}

const octal = (mode: number): string => (mode & 0o777).toString(8).padStart(4, "0");

const refuse = (path: string, why: string): Failure =>
  new Failure(EXIT.configuration, [`${path} ${why}.`]);

/** Gives file and folder the modes that they should have. Others may still read what is not ours. */
export function fixModes(vault: Vault): void {
  if (vault.kind === "none" || !hasModes) return;
  const folder = dirname(vault.lockPath);
  onDisk(folder, "written", () => {
    if (vault.kind === "file" && existsSync(vault.where)) chmodSync(vault.where, 0o600);
    // Also before there is anything in it: a login is refused there.
    if (!existsSync(folder)) return;
    const { mode } = statSync(folder);
    if ((mode & OF_OTHERS) !== 0 && !isCommon(folder))
      chmodSync(folder, mode & 0o7777 & ~OF_OTHERS);
    narrow(vault.lockPath);
  });
}

/** Whether a folder is somebody else's, or for everybody (sticky), such as /tmp. */
function isCommon(folder: string): boolean {
  const { mode, uid } = statSync(folder);
  return (mode & 0o1000) !== 0 || uid !== process.getuid?.();
}

/** Whether the file lies where `git add` would find it. */
export function isInWorkTree(vault: Vault): boolean {
  if (vault.kind !== "file") return false;
  for (let folder = dirname(vault.where); ; folder = dirname(folder)) {
    if (existsSync(join(folder, ".git"))) return true;
    if (folder === dirname(folder)) return false;
  }
}

/** One entry of a keyring, as `@napi-rs/keyring` has it. */
interface Entry {
  getPassword(): string | null;
  setPassword(text: string): void;
  deletePassword(): boolean;
}

const KEYRING = "@napi-rs/keyring";

type Open = (account: string) => Entry;

/** The system's keyring, or why there is none. */
async function openKeyring(
  path: string,
  account: string,
  isAsked: boolean,
): Promise<Vault | string> {
  let open: Open;
  try {
    // By a name that no bundler follows: the package is optional.
    const { Entry } = (await import(KEYRING)) as {
      Entry: new (service: string, account: string, options: object) => Entry;
    };
    // Not the kernel's keyring, which forgets with the machine's session.
    open = (name) => new Entry("gatepass", name, { linux: { store: "secret-service" } });
  } catch {
    return `the package ${KEYRING} is not installed.`;
  }
  const read = (): string | undefined => {
    try {
      return open(account).getPassword() ?? undefined;
    } catch (error) {
      if (isNoEntry(error)) return undefined;
      throw error;
    }
  };
  const attempt = <T>(work: () => T): T => {
    try {
      return work();
    } catch {
      throw new Failure(EXIT.failed, ["The keyring cannot be used at present."]);
    }
  };
  const isInUse = (): boolean => {
    try {
      return read() !== undefined;
    } catch {
      return false;
    }
  };
  if (!isInUse()) {
    // A login in the file stays there.
    if (!isAsked && existsSync(path)) return "the tokens are in a file.";
    // A keyring that can be read may still refuse to keep anything.
    try {
      const probe = open(`${account} (probe)`);
      probe.setPassword("probe");
      probe.deletePassword();
    } catch {
      return "the system's one cannot be used.";
    }
  }
  return {
    kind: "keyring",
    where: "the system's keyring",
    room: process.platform === "win32" ? WINDOWS_ROOM : ROOM,
    lockPath: `${path}.lock`,
    read: () => attempt(read),
    writtenAt: () => undefined,
    write: (text) => attempt(() => open(account).setPassword(text)),
    // One that cannot be read has failed before, and it was tried above whether an empty one keeps anything.
    prove: () => {},
    remove() {
      if (attempt(read) !== undefined) attempt(() => open(account).deletePassword());
    },
  };
}

const isNoEntry = (error: unknown): boolean =>
  error instanceof Error && /no (?:matching )?entry/iu.test(error.message);

/** Makes the folder in which processes take turns. */
export function prepare(vault: Vault): void {
  if (vault.kind !== "none") makeFolder(vault.lockPath);
}
