use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::support::{cream, done, fails, file, folder, golden, prompts, text, tiny_model, words};

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";

fn generate(model: &str) -> Vec<String> {
    words!("generate --model {model} --temperature 0 --max-new-tokens 3 Hello")
}

/// The tiny model's weights in two files, under these names, with their index.
fn split(model: &Path, names: [&str; 2]) {
    let whole = fs::read(model.join("model.safetensors")).unwrap();
    fs::remove_file(model.join("model.safetensors")).unwrap();
    let (header, data) = whole[8..].split_at(u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize);
    let header: serde_json::Map<String, Value> = serde_json::from_slice(header).unwrap();
    let mut map = serde_json::Map::new();
    for (part, name) in names.into_iter().enumerate() {
        let (mut own, mut bytes) = (serde_json::Map::new(), Vec::new());
        let tensors = header.iter().filter(|(name, _)| *name != "__metadata__");
        for (tensor, info) in tensors.enumerate().filter(|(i, _)| i % 2 == part).map(|(_, entry)| entry) {
            let [from, to] = [0, 1].map(|i| info["data_offsets"][i].as_u64().unwrap() as usize);
            let mut info = info.clone();
            info["data_offsets"] = json!([bytes.len(), bytes.len() + to - from]);
            bytes.extend(&data[from..to]);
            own.insert(tensor.clone(), info);
            map.insert(tensor.clone(), name.into());
        }
        let header = Value::Object(own).to_string();
        let path = model.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes].concat()).unwrap();
    }
    fs::write(model.join("model.safetensors.index.json"), json!({"weight_map": map}).to_string()).unwrap();
}

#[test]
fn weights_are_the_files_that_the_index_names() {
    let folder = folder("models-index");
    let whole = done(&generate(&tiny_model(&folder)));
    for (i, names) in [
        ["weights/part1.safetensors", "weights/part2.safetensors"],
        ["consolidated.safetensors", "more/of/it.bin"],
        ["pytorch_model-1.safetensors", "model-00002-of-00002.safetensors"],
    ]
    .into_iter()
    .enumerate()
    {
        let own = folder.join(i.to_string());
        let model = tiny_model(&own);
        split(Path::new(&model), names);
        // What another index would name is nobody's.
        file(Path::new(&model), "model-00009-of-00009.safetensors", "junk");
        assert_eq!(done(&generate(&model)), whole, "{names:?}");
        let missing = own.join("model").join(names[1]);
        fs::remove_file(&missing).unwrap();
        fails(&generate(&model), 1, &["model.safetensors.index.json", names[1], "missing from the model's folder"]);
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", &missing).unwrap();
            fails(&generate(&model), 1, &["cannot read", names[1]]);
        }
    }
    let model = folder.join("model");
    for name in ["../secret.safetensors", "/etc/passwd", "a/../../b"] {
        let _ = fs::remove_file(model.join("model.safetensors"));
        let index = json!({"weight_map": {"model.norm.weight": name}}).to_string();
        file(&model, "model.safetensors.index.json", &index);
        fails(
            &generate(&text(&model)),
            1,
            &["model.safetensors.index.json: weight_map", name, "expected a file of the folder"],
        );
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_as_in_the_hubs_cache() {
    use std::os::unix::fs::symlink;
    let folder = folder("models-links");
    let model = tiny_model(&folder);
    let whole = done(&generate(&model));
    split(Path::new(&model), ["a.safetensors", "b.safetensors"]);
    let linked = folder.join("linked");
    fs::create_dir(&linked).unwrap();
    for entry in fs::read_dir(&model).unwrap() {
        let entry = entry.unwrap();
        symlink(entry.path(), linked.join(entry.file_name())).unwrap();
    }
    assert_eq!(done(&generate(&text(&linked))), whole);
}

#[test]
fn what_is_no_model_is_named_with_the_next_step() {
    let folder = folder("models-named");
    let without = |i: usize, absent: &[&str], present: &[(&str, &str)]| {
        let own = folder.join(i.to_string());
        let model = tiny_model(&own);
        for name in absent {
            fs::remove_file(own.join("model").join(name)).unwrap();
        }
        for (name, contents) in present {
            file(&own.join("model"), name, contents);
        }
        model
    };
    const WEIGHTS: &str = "model.safetensors";
    for (i, (absent, present, expected)) in [
        (&[WEIGHTS][..], &[("pytorch_model.bin", "PK")][..], &["pytorch_model.bin", "safe_serialization=True"][..]),
        (&[WEIGHTS], &[("pytorch_model.safetensors", "")], &["pytorch_model.safetensors", "call the file so"]),
        (
            &[WEIGHTS],
            &[("model-00001-of-00002.safetensors", ""), ("model-00002-of-00002.safetensors", "")],
            &["model.safetensors.index.json", "fetch it too"],
        ),
        (&[WEIGHTS], &[("model.Q4_K_M.gguf", "GGUF")], &["model.Q4_K_M.gguf", "give that file"]),
        (&[WEIGHTS, "config.json"], &[("model.Q4_K_M.gguf", "GGUF")], &["model.Q4_K_M.gguf", "give that file"]),
        (
            &[WEIGHTS],
            &[("consolidated.safetensors", ""), ("params.json", "{}")],
            &["consolidated.safetensors", "own layout"],
        ),
        (&["tokenizer.json"], &[("tokenizer.model", "x")], &["tokenizer.model", "AutoTokenizer", "tokenizer.json"]),
        (&["tokenizer.json"], &[], &["tokenizer.json: missing"]),
        (&[WEIGHTS], &[], &["model.safetensors", "missing"]),
        (&["config.json"], &[], &["config.json", "missing"]),
        (&[], &[(WEIGHTS, POINTER)], &["model.safetensors", "git lfs pull"]),
        (&[], &[("tokenizer.json", POINTER)], &["tokenizer.json", "git lfs pull"]),
        (&[], &[("config.json", POINTER)], &["config.json", "git lfs pull"]),
        (&[], &[("tokenizer_config.json", POINTER)], &["tokenizer_config.json", "git lfs pull"]),
        (&[], &[(WEIGHTS, "<!doctype html>")], &["model.safetensors", "a web page"]),
        (
            &[WEIGHTS],
            &[("adapter_config.json", "{}"), ("adapter_model.safetensors", "")],
            &["this folder is an adapter"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        fails(&generate(&without(i, absent, present)), 1, expected);
    }
    let model = tiny_model(&folder);
    for (name, contents, expected) in [
        ("lfs.gguf", POINTER, "git lfs pull"),
        ("page.gguf", "<!DOCTYPE html><html>", "a web page"),
        ("zip.gguf", "PK\u{3}\u{4}", "a zip archive"),
        ("old.gguf", "tjgg\u{3}", "before GGUF"),
    ] {
        fails(&generate(&file(&folder, name, contents)), 1, &[name, expected]);
    }
    fails(&generate(&format!("{model}/model.safetensors")), 1, &["a safetensors file", "give the folder"]);
}

/// The only settings that are neither known nor refused are told of.
#[test]
fn settings_of_which_nothing_is_known_are_told_of() {
    let folder = folder("models-unknown");
    let model = tiny_model(&folder);
    let path = folder.join("model/config.json");
    let known: serde_json::Map<String, Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let run = |key: &str, value: Value| {
        let mut config = known.clone();
        config.insert(key.to_owned(), value);
        fs::write(&path, Value::Object(config).to_string()).unwrap();
        cream(&generate(&model)).output().unwrap()
    };
    let Output { status, stderr, .. } = run("wandb_run", json!("x"));
    assert!(status.success());
    let told = format!("{model}: config.json: passed over, since nothing is known of them: wandb_run\n");
    assert_eq!(String::from_utf8(stderr).unwrap(), told);
    assert_eq!(run("unsloth_version", json!("2025.1")).stderr, b"");
    let Output { status, stderr, .. } = run("embedding_multiplier", json!(12.0));
    assert_eq!(status.code(), Some(1));
    assert!(String::from_utf8(stderr).unwrap().contains("config.json: embedding_multiplier: 12.0, expected"));
}

#[test]
fn adapters_that_are_none_are_named() {
    let folder = folder("models-adapters");
    let model = tiny_model(&folder);
    let prompts = prompts(&folder, 1);
    let run = text(&folder.join("run"));
    done(&words!(
        "run --model {model} --prompts {prompts} --output {run} --iterations 1 -n 3 --cut keep --max-new-tokens 4 --lora-r 2"
    ));
    let adapter = folder.join("adapter");
    fs::create_dir(&adapter).unwrap();
    let made = Path::new(&run).join("iteration-1");
    for name in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(made.join(name), adapter.join(name)).unwrap();
    }
    let with = |over: &str| [generate(&model), words!("--adapter {over}")].concat();
    let (over, weights) = (text(&adapter), adapter.join("adapter_model.safetensors"));
    done(&with(&over));

    let settings = fs::read_to_string(adapter.join("adapter_config.json")).unwrap();
    file(&adapter, "adapter_config.json", &settings.replacen('{', "{\"init_lora_weights\": \"pissa\",", 1));
    fails(
        &with(&over),
        1,
        &["adapter_config.json: init_lora_weights: \"pissa\"", "path_initial_model_for_weight_conversion"],
    );
    file(&adapter, "adapter_config.json", &settings);

    // Training goes on without the dropout that the adapter was trained with, and says so.
    file(&adapter, "adapter_config.json", &settings.replace("\"lora_dropout\": 0.0", "\"lora_dropout\": 0.05"));
    let data = file(&folder, "sft.jsonl", "{\"prompt\":\"Hi\",\"completion\":\"Good day\"}\n");
    let out = text(&folder.join("out"));
    let trained = cream(&words!("sft --model {model} --adapter {over} --data {data} --output {out} --epochs 1"))
        .output()
        .unwrap();
    assert!(trained.status.success());
    assert!(
        String::from_utf8(trained.stderr).unwrap().contains("lora_dropout is 0.05; training goes on without dropout")
    );

    fs::write(&weights, POINTER).unwrap();
    fails(&with(&over), 1, &["adapter_model.safetensors", "git lfs pull"]);
    fs::rename(&weights, adapter.join("adapter_model.bin")).unwrap();
    fails(&with(&over), 1, &["adapter_model.bin, pickled weights", "writes adapter_model.safetensors"]);
    fails(&with(&model), 1, &["this folder is a model", "--model"]);
    fails(&with(&prompts), 1, &["a file, expected a folder in PEFT's layout"]);
}

/// A hub of one repository, on a port of its own; what was asked for lies in the list.
fn hub(files: Vec<(String, Vec<u8>)>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let answer = move |mut stream: TcpStream| {
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(read @ 1..) => request.extend(&buffer[..read]),
                _ => return,
            }
        }
        let request = String::from_utf8(request).unwrap().to_lowercase();
        let path = request.split(' ').nth(1).unwrap().to_owned();
        let (head, body) = if let Some(name) = path.strip_prefix("/org/name/resolve/main/") {
            let (_, bytes) = files.iter().find(|(file, _)| file.to_lowercase() == name).unwrap();
            let probe = request.contains("bytes=0-0");
            if !probe {
                seen.lock().unwrap().push(name.to_owned());
            }
            let size = bytes.len();
            let etag: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            let head = format!(
                "206 Partial Content\r\netag: \"{etag}\"\r\nx-repo-commit: 0123\r\ncontent-range: bytes 0-0/{size}"
            );
            (head, if probe { bytes[..1].to_vec() } else { bytes.clone() })
        } else {
            let siblings: Vec<Value> = files.iter().map(|(name, _)| json!({"rfilename": name})).collect();
            ("200 OK".to_owned(), json!({"siblings": siblings, "sha": "0123"}).to_string().into_bytes())
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
    };
    thread::spawn(move || listener.incoming().flatten().for_each(answer));
    (address, asked)
}

#[test]
fn of_the_hub_exactly_what_the_index_names_is_fetched() {
    let folder = folder("models-hub");
    let model = tiny_model(&folder);
    let whole = done(&generate(&model));
    let names = ["weights/part1.safetensors", "weights/part2.safetensors"];
    split(Path::new(&model), names);
    let small = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors.index.json"];
    let own =
        small.iter().chain(&names).map(|&name| (name.to_owned(), fs::read(Path::new(&model).join(name)).unwrap()));
    let others = ["README.md", "model-00001-of-00002.safetensors", "pytorch_model.bin", "original/consolidated.00.pth"];
    let others = others.map(|name| (name.to_owned(), b"junk".to_vec()));
    let (address, asked) = hub(own.chain(others).collect());
    let run = |address: &str, cache: &str| {
        let mut command = cream(&generate("org/name"));
        command.env("HF_ENDPOINT", address).env("HF_HUB_OFFLINE", "0").env("HF_HOME", folder.join(cache));
        command.output().unwrap()
    };
    let output = run(&address, "cache");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), whole);
    let mut fetched = std::mem::take(&mut *asked.lock().unwrap());
    fetched.sort();
    let mut expected: Vec<&str> = small.into_iter().chain(names).collect();
    expected.sort_unstable();
    assert_eq!(fetched, expected);
    // Then from the cache, whose files are links, and only what is missing again.
    assert!(run(&address, "cache").status.success() && asked.lock().unwrap().is_empty());
    fs::remove_file(folder.join("cache/hub/models--org--name/snapshots/0123/weights/part2.safetensors")).unwrap();
    assert!(run(&address, "cache").status.success());
    assert_eq!(*asked.lock().unwrap(), ["weights/part2.safetensors"]);

    // What is not read is named before anything is fetched.
    let config = fs::read(golden().join("tied/config.json")).unwrap();
    let (address, asked) =
        hub(vec![("config.json".to_owned(), config), ("pytorch_model.bin".to_owned(), b"PK".to_vec())]);
    let output = run(&address, "other");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("the repository holds pytorch_model.bin, pickled weights"), "{stderr}");
    assert!(asked.lock().unwrap().is_empty());
}

#[test]
fn a_part_in_the_hubs_cache_is_named() {
    let folder = folder("models-cache");
    let model = tiny_model(&folder);
    let cached = folder.join("cache/hub/models--org--name");
    fs::create_dir_all(cached.join("refs")).unwrap();
    fs::create_dir_all(cached.join("snapshots")).unwrap();
    fs::write(cached.join("refs/main"), "0123").unwrap();
    let snapshot = cached.join("snapshots/0123");
    fs::rename(&model, &snapshot).unwrap();
    let stderr = || {
        let output = cream(&generate("org/name")).env("HF_HOME", folder.join("cache")).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    fs::rename(snapshot.join("tokenizer.json"), snapshot.join("tokenizer.model")).unwrap();
    assert!(stderr().contains("tokenizer.model, a tokenizer in a form that is not read"));
    fs::rename(snapshot.join("model.safetensors"), snapshot.join("pytorch_model.bin")).unwrap();
    let named = stderr();
    assert!(named.contains("the hub's cache holds pytorch_model.bin") && named.contains("HF_HUB_OFFLINE"), "{named}");
}
