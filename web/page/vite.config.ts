// Builds the page into files that any file server can hand out from any folder: relative paths, no inline script.
//
// `cream-web` is the wasm package beside this folder.

import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin, type UserConfig } from "vite";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const engine = here("../pkg/cream.js");
const tiny = here("../../crates/demo/model/");

/** The tiny model lies in the repository once, with the crate that makes it; the page has it as ./tiny/. */
function tinyModel(): Plugin {
  const files = readdirSync(tiny).filter((name) => /\.(json|safetensors)$/.test(name));
  return {
    name: "tiny-model",
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const name = /\/tiny\/([\w.]+)$/.exec(request.url ?? "")?.[1];
        if (!name || !files.includes(name)) return next();
        response.setHeader("content-length", statSync(tiny + name).size);
        response.setHeader("content-type", name.endsWith(".json") ? "application/json" : "application/octet-stream");
        createReadStream(tiny + name).pipe(response);
      });
    },
    generateBundle() {
      for (const name of files) this.emitFile({ type: "asset", fileName: `tiny/${name}`, source: readFileSync(tiny + name) });
    },
  };
}

/** What the page tells before anything is fetched. */
const bytesOf = (files: string[]) => files.reduce((sum, file) => sum + (existsSync(file) ? statSync(file).size : 0), 0);

const settings: UserConfig = {
  base: "./",
  plugins: [tinyModel()],
  resolve: { alias: { "cream-web": engine } },
  define: {
    TINY_BYTES: bytesOf(readdirSync(tiny).map((name) => tiny + name)),
    ENGINE_BYTES: bytesOf([here("../pkg/cream_bg.wasm")]),
  },
  worker: { format: "es" },
  // A file inlined as data: would be refused by the page's own policy.
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  server: { host: "127.0.0.1", fs: { allow: [here("."), here("../pkg")] } },
};

export default defineConfig(({ isPreview }) => {
  if (!isPreview && !existsSync(engine)) {
    throw new Error("../pkg/cream.js is not there: `cargo xtask web` makes it");
  }
  return settings;
});
