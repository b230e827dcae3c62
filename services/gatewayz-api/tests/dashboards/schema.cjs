// Has the TypeScript compiler compare dashboards with the types of Grafana's SDK; prints what is wrong, a line each.
// Arguments: files of dashboards. NODE_PATH is the folder with the packages.
const { execFileSync } = require("node:child_process");
const { copyFileSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const { basename, join } = require("node:path");

const FLAGS = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--module", "nodenext"];

// A value on a line of its own, so that a mistake's line tells whose it is.
const names = [""];
const source = ['import type { Dashboard, Targets } from "./schema.js";'];
const check = (name, value, type) => {
  names.push(name);
  source.push(`void (${JSON.stringify(value)} satisfies ${type});`);
};
for (const path of process.argv.slice(2)) {
  const dashboard = JSON.parse(readFileSync(path, "utf8"));
  check(basename(path), { ...dashboard, panels: [] }, "Dashboard");
  for (const panel of dashboard.panels) {
    const name = `${basename(path)}: ${panel.title}`;
    check(name, panel, 'Dashboard["panels"][number]');
    for (const target of panel.targets ?? []) {
      check(`${name}: ${target.refId}`, target, `Targets[${JSON.stringify(target.datasource.type)}]`);
    }
  }
}

const folder = mkdtempSync(join(tmpdir(), "dashboards-"));
try {
  symlinkSync(process.env.NODE_PATH, join(folder, "node_modules"));
  copyFileSync(join(__dirname, "schema.ts"), join(folder, "schema.ts"));
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  writeFileSync(join(folder, "checked.ts"), source.join("\n"));
  const compiler = join(process.env.NODE_PATH, "typescript/bin/tsc");
  execFileSync(process.execPath, [compiler, ...FLAGS, "checked.ts"], { cwd: folder, encoding: "utf8" });
} catch (error) {
  if (!error.stdout) throw error;
  const named = (_, line, rest) => `${names[line - 1]}${rest}`;
  console.log(error.stdout.replace(/^checked\.ts\((\d+),\d+\)(.*)/gm, named).trim());
} finally {
  rmSync(folder, { recursive: true });
}
