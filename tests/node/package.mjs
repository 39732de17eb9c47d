// What npm packs of web/pkg, installed in a fresh project: README's examples run as they stand, Vite builds them, and
// TypeScript takes the declarations. `cargo xtask web` makes web/pkg first.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

const web = fileURLToPath(new URL("../../web", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "cream-web-"));
const app = join(folder, "app");
const run = (program, ...args) => execFileSync(program, args, { cwd: app, encoding: "utf8" });
const tool = (path) => join(web, "node_modules", path);
const examples = [...readFileSync(join(web, "README.md"), "utf8").matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1]);

/** The reader's own function: the tiny model's files. */
const files = `
async function files() {
  const { readFile } = await import(/* @vite-ignore */ "node:fs/promises");
  const names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
  const folder = ${JSON.stringify(fileURLToPath(new URL("../../crates/demo/model/", import.meta.url)))};
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, new Uint8Array(await readFile(folder + name))])));
}
`;

before(() => {
  mkdirSync(app);
  writeFileSync(join(app, "package.json"), JSON.stringify({ name: "app", private: true, type: "module" }));
  const [{ filename }] = JSON.parse(run("npm", "pack", "--json", "--pack-destination", folder, join(web, "pkg")));
  run("npm", "install", "--offline", "--no-audit", "--no-fund", join(folder, filename));
});
after(() => rmSync(folder, { recursive: true }));

test("README's examples run under node", () => {
  assert.equal(examples.length, 2);
  examples.forEach((example, i) => {
    writeFileSync(join(app, `example-${i}.js`), i === 0 ? example + files : example);
    run("node", `example-${i}.js`);
  });
});

test("Vite builds them, with the wasm files", () => {
  symlinkSync(tool("vite"), join(app, "node_modules/vite"));
  writeFileSync(join(app, "index.html"), '<script type="module" src="/main.js"></script>');
  writeFileSync(join(app, "main.js"), examples.map((_, i) => `import "./example-${i}.js";\n`).join(""));
  run("node", tool("vite/bin/vite.js"), "build", "--base", "./", "--logLevel", "error");
  const wasm = readdirSync(join(app, "dist/assets")).filter((name) => name.endsWith(".wasm"));
  assert.equal(wasm.length, 2, wasm.join());
});

test("TypeScript takes the declarations", () => {
  copyFileSync(fileURLToPath(new URL("types.ts", import.meta.url)), join(app, "types.ts"));
  const options = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,esnext.disposable,dom"];
  run("node", tool("typescript/bin/tsc"), ...options, "types.ts");
});
