// Every call that the page can make, and where it is answered.

import { config, demo } from "cream-web";
import type { Call, Calls } from "../protocol";
import { answersFrom, ask, judge } from "./ask";
import { download } from "./downloads";
import { ready } from "./engine";
import { storage } from "./files";
import { probe } from "./loading";
import { deleteModel, storedModels } from "./models";
import { run } from "./session";
import { deleteSession, sessions, view } from "./sessions";

type Options<C extends Call> = { signal: AbortSignal; tell: (news: Calls[C]["tells"]) => void };
type Answers = { [C in Call]: (asks: Calls[C]["asks"], options: Options<C>) => Promise<Calls[C]["answers"]> };

export const calls: Answers = {
  storage: () => storage(),
  models: () => storedModels(),
  deleteModel: ({ name }) => deleteModel(name),
  probe: ({ url }, { signal }) => probe(url, signal),
  defaults: async () => {
    await ready();
    const { config, prompts } = demo();
    return { config, prompts };
  },
  check: async (asks) => {
    await ready();
    return config(asks.config, asks.method);
  },
  sessions: () => sessions(),
  deleteSession: ({ name }) => deleteSession(name),
  view: async ({ name }) => {
    answersFrom(name);
    return view(name);
  },
  run: (asks, { signal, tell }) => run(asks, {
    signal,
    tell: (event) => {
      if (event.kind === "session") answersFrom(event.session.name);
      tell(event);
    },
  }),
  ask,
  judge,
  download: (asks) => download(asks),
};
