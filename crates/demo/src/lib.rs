//! What `cream demo` runs on: a tiny Llama, the tasks that it learns and is tested on, and how both were made.
//!
//! It does *not* run anything: the program's `demo` verb does, through the same functions as a real run.

mod tasks;
mod text;

pub use tasks::{Family, Split, Task, tasks};
pub use text::{VOCAB_SIZE, files as text_files};
