/** A turn of a conversation. */
export interface Message { role: string; content: string }
/** What is answered. */
export type Prompt = { id: string; prompt: string } | { id: string; messages: Message[] };
/** What an assistant should have said. */
export type SftRow = { prompt: string; completion: string } | { messages: Message[]; completion: string };
/** A prompt and its completions; those that were drawn have their tokens, and why they ended. */
export interface Completions {
    id: string;
    prompt?: string;
    messages?: Message[];
    completions: string[];
    token_ids?: (number[] | null)[];
    finish?: ("stop" | "length")[];
}
/** The same with the log-prob of each completion, nats, and how many tokens it is over. */
export interface Scores extends Completions { logps: number[]; tokens: number[] }
/** A preference pair with its consistency C and the log-probs of its reference. */
export interface Pair {
    id: string;
    prompt?: string;
    messages?: Message[];
    chosen: string;
    rejected: string;
    consistency: number;
    ref_chosen_logps: number;
    ref_rejected_logps: number;
}
/** A question with its one right answer. */
export interface QuestionRow { id: string; prompt: string; answer: string }
/** What somebody else thinks of the completions of a prompt; null where nothing can be said. */
export interface Rewards { id: string; rewards: (number | null)[] }

/** A GGUF file, or the files of a Hugging Face folder by name. */
export type Source = SourceFile | Record<string, SourceFile>;
/** A file: a Blob, its bytes, a stream of them, or where it lies. */
export type SourceFile = Blob | Uint8Array | ReadableStream<Uint8Array> | URL | string;
/** How far loading is. */
export interface Loading { stage: "header" | "weights" | "pipelines"; done: number; total: number }
export interface OpenOptions {
    /** What the model is called in adapters and messages. */
    name?: string;
    /** How many answers will be made at once; 64 if unset. A GPU is made ready for them; for more it is when they come. */
    slots?: number;
    onLoading?: (loading: Loading) => void;
    signal?: AbortSignal;
}
/** The shape of a new adapter, under PEFT's keys. */
export interface AdapterOptions { r?: number; lora_alpha?: number; target_modules?: string[]; seed?: number }
export interface GenerateOptions {
    /** How many answers; 1 if unset. */
    completions?: number;
    /** Longest answer, in tokens; 768 if unset, or what the model's context leaves. */
    max_new_tokens?: number;
    /** 0 takes the most probable token. */
    temperature?: number;
    top_k?: number;
    top_p?: number;
    min_p?: number;
    repetition_penalty?: number;
    seed?: number;
    /** Take a text as it is, without the chat template. */
    raw?: boolean;
    adapter?: Adapter;
    signal?: AbortSignal;
    /** Hears, as tokens are drawn, which completion it is and its whole text so far. */
    onText?: (completion: number, text: string) => void;
}
export interface ScoreOptions extends Hooks { adapter?: Adapter; raw?: boolean; batch_tokens?: number }
export interface EvaluateOptions extends Hooks {
    adapter?: Adapter;
    max_new_tokens?: number;
    /** 0, the most probable answer, if unset. */
    temperature?: number;
    seed?: number;
}
export interface Evaluation { task: string; n: number; acc: number; stderr: number | null }
export interface TrainerOptions {
    beta?: number;
    loss?: "cream" | "dpo" | "ipo";
    sft_weight?: number;
    learning_rate?: number;
    /** Tokens in one pass; a step of more takes several. */
    batch_tokens?: number;
    raw?: boolean;
    adamw?: { beta1?: number; beta2?: number; eps?: number; weight_decay?: number; max_grad_norm?: number };
}
/** One step of training, under TRL's keys. */
export interface Metrics {
    step: number;
    epoch: number;
    loss: number;
    grad_norm: number;
    learning_rate: number;
    num_tokens: number;
    consistency?: number;
    "rewards/chosen"?: number;
    "rewards/rejected"?: number;
    "rewards/accuracies"?: number;
    "rewards/margins"?: number;
    "logps/chosen"?: number;
    "logps/rejected"?: number;
}

/**
 * Where a run keeps its files, under names with "/" between folders. A call that is cut short, at any moment, leaves every
 * file as it was or as it should be; of an append a part may be there.
 */
export interface Store {
    read(name: string): Promise<Uint8Array | undefined>;
    exists(name: string): Promise<boolean>;
    /** Names of the files that begin with `start`: a folder's name and "/", or nothing, and the beginning of a file's. */
    names(start: string): Promise<string[]>;
    /** Makes or replaces a file at once. */
    write(name: string, bytes: Uint8Array): Promise<void>;
    append(name: string, bytes: Uint8Array): Promise<void>;
    truncate(name: string, length: number): Promise<void>;
    /** In place of any file of the new name. */
    rename(from: string, to: string): Promise<void>;
    /** A file that is not there is none to remove. */
    remove(name: string): Promise<void>;
}
export type Stage = "sample" | "score" | "train" | "sft";
/** Where a stage stands. */
export interface Update {
    stage: Stage;
    /** The file or folder that is being made: iteration-1/scores-previous.jsonl. */
    output: string;
    done: number;
    total: number;
    tokens: number;
    metrics?: Metrics;
}
/** A completion as it is drawn. */
export interface Drawn { id: string; completion: number; text: string; finished: boolean }
export interface Hooks {
    /** Stops the work at the next token or step. */
    signal?: AbortSignal;
    onUpdate?: (update: Update) => void;
    onLog?: (line: string) => void;
    onDrawn?: (drawn: Drawn) => void;
}
/** The settings of config.toml, any part of them. */
export type Config = Record<string, unknown>;
export interface RunInputs {
    prompts: Prompt[];
    /** Learnt first, in iteration 0. */
    sft?: SftRow[];
    config?: Config;
    method?: "cream" | "srlm" | "srlm-judge" | "oracle" | "sft-only";
    store: Store;
    /** Asked where pair.reward is "external". */
    reward?: (rows: Completions[]) => Promise<Rewards[]> | Rewards[];
}
/** What one iteration did; 0 is supervised. */
export interface Summary {
    iteration: number;
    seed: number;
    pairs: Record<string, unknown> | null;
    training: {
        steps: number;
        mean_loss: number;
        first_loss: number;
        last_loss: number;
        first_margin: number | null;
        last_margin: number | null;
    };
}
/** How the completions of a row are ranked: by the latest model, by its former self, and how far the two agree (-1 to 1). */
export interface Ranking {
    id: string;
    rewards: (number | null)[];
    previous_rewards: (number | null)[];
    agreement: number | null;
}
/** Rankings of all rows, and the pairs that they give. */
export interface Ranked { rankings: Ranking[]; pairs: Pair[]; notes: string[] }
/** What the demo works with. */
export interface Demo { prompts: Prompt[]; sft: SftRow[]; questions: QuestionRow[]; config: Config }
