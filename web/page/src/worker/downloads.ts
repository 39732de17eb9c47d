// What a visitor takes home: all of it files of the session as they lie there.

import { report } from "cream-web";
import type { Calls } from "../protocol";
import { Within } from "./files";
import { ready } from "./engine";
import { sessionStore } from "./sessions";
import { zip } from "./zip";

type Answer = Calls["download"]["answers"];

export async function download({ session, method, what }: Calls["download"]["asks"]): Promise<Answer> {
  const store = await sessionStore(session);
  const run = new Within(store, method);
  const file = (name: string, bytes: Uint8Array, type: string): Answer => ({ name, bytes, type });
  switch (what) {
    case "session": {
      const files: Record<string, Uint8Array> = {};
      for (const name of await store.names("")) files[`${session}/${name}`] = (await store.read(name))!;
      return file(`cream-${session}.zip`, zip(files), "application/zip");
    }
    case "report":
      await ready();
      return file(`${method}-report.json`, new TextEncoder().encode(JSON.stringify(await report(run), null, 1)), "application/json");
    case "pairs": {
      const names = (await run.names("iteration-")).filter((name) => name.endsWith("/pairs.jsonl"));
      if (!names.length) throw new Error("No pairs yet: they are there after the first ranking.");
      const last = names[names.length - 1]!;
      return file(`${method}-${last.replace("/", "-")}`, (await run.read(last))!, "application/jsonl");
    }
    default: {
      const made = (await run.names("iteration-")).filter((name) => name.endsWith("/adapter_model.safetensors"));
      if (!made.length) throw new Error("No adapter yet: it is there after the first training.");
      const folder = made[made.length - 1]!.split("/")[0]!;
      const names = ["adapter_config.json", "adapter_model.safetensors"];
      const files: Record<string, Uint8Array> = {};
      for (const name of names) files[`${method}-${folder}/${name}`] = (await run.read(`${folder}/${name}`))!;
      if (what === "adapter") return file(`${method}-${folder}-adapter.zip`, zip(files), "application/zip");
      const name = what === "adapter config" ? names[0]! : names[1]!;
      return file(name, files[`${method}-${folder}/${name}`]!, "application/octet-stream");
    }
  }
}
