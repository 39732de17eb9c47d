//! The program from outside, and the libraries on real weights, in one binary.

#![allow(clippy::unwrap_used, reason = "all of it is tests")]

/// The program's verbs on a tiny model: what they write, how they fail.
mod cli;
/// The day that a chat template prints: given, today's, or the one on which a run began.
mod date;
/// `cream eval` against an independent implementation, and how it fails.
mod eval;
/// The program on a GPU, beside the CPU.
mod gpu;
/// `cream import`: every shape, every kind of mistake.
mod import;
/// The library without the program.
mod library;
/// Knobs, methods by name, rewards from outside, comparisons.
mod methods;
/// What `--model` and `--adapter` may name: folders, files, the hub, and what lies in their place.
mod models;
/// Where results go: never over an input, a device or a link; standard input and output.
mod outputs;
/// Pairs of rewards from anywhere.
mod rated;
/// The page that `cream report` makes, in a browser too, and TensorBoard's files.
mod report;
/// `cream run` killed and taken up again.
mod resume;
/// Programs that give rewards: how they fail, what they leave running.
#[cfg(unix)]
mod rewards;
/// A real instruct model against an independent implementation.
mod smollm2;
/// What the other modules share: the tiny model, calls of the program, folders.
mod support;
/// The real model's tokenizer and chat template against llama.cpp.
mod tokens;
