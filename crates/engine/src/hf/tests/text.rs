//! Tokenizers, special tokens and templates of a folder.

use super::*;

/// A folder's text from its tokenizer files; the model embeds 400 tokens.
fn text_of(files: &[(&str, Value)]) -> Result<Text> {
    let files = files.iter().map(|(name, json)| ((*name).to_owned(), json.to_string().into_bytes())).collect();
    Ok(super::text(&files, &Map::new(), 400)?.unwrap())
}

#[test]
fn public_chat_templates_give_transformers_tokens() {
    #[derive(serde::Deserialize)]
    struct Golden {
        date: String,
        chats: Vec<Vec<(String, String)>>,
        tokenizers: Map<String, Value>,
        templates: Vec<String>,
        models: Vec<Model>,
    }
    #[derive(serde::Deserialize)]
    struct Model {
        name: String,
        template: usize,
        tokenizer: String,
        special: Vec<String>,
        named: Map<String, Value>,
        adds_bos: bool,
        end: u32,
        chats: Vec<Chat>,
        raw: Vec<u32>,
        raw_with_bos: (String, Vec<u32>),
    }
    #[derive(serde::Deserialize)]
    struct Chat {
        prompt: Option<String>,
        ids: Option<Vec<u32>>,
        answered: Option<String>,
    }
    let golden: Golden = serde_json::from_slice(&golden_file("chats.json")).unwrap();
    assert_eq!(golden.models.len(), 24);
    for model in golden.models {
        let name = model.name;
        let mut tokenizer = golden.tokenizers[&model.tokenizer].clone();
        let vocab = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        for token in &model.special {
            let id = vocab.len();
            vocab.entry(token).or_insert(id.into());
        }
        let added = |token: &String| {
            json!({"id": vocab[token], "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        };
        tokenizer["added_tokens"] = model.special.iter().map(added).collect();
        let mut config = Value::Object(model.named);
        config["chat_template"] = golden.templates[model.template].as_str().into();
        config["add_bos_token"] = model.adds_bos.into();
        let mut text = text_of(&[(TOKENIZER, tokenizer), (TOKENIZER_CONFIG, config)]).unwrap();
        assert_eq!((text.end_of_turn(), text.stop_tokens().contains(&model.end)), (model.end, true), "{name}");
        text.set_date(golden.date.parse().unwrap());
        for (chat, expected) in golden.chats.iter().zip(model.chats) {
            let message = |(role, content): &(String, String)| Message { role: role.clone(), content: content.clone() };
            let mut messages: Vec<Message> = chat.iter().map(message).collect();
            assert_eq!(text.render(&messages, true).ok(), expected.prompt, "{name}");
            assert_eq!(text.prompt(&messages).ok(), expected.ids, "{name}");
            messages.push(message(&("assistant".to_owned(), "Yes".to_owned())));
            assert_eq!(text.render(&messages, false).ok(), expected.answered, "{name}");
        }
        assert_eq!(text.raw("Hello Yes").unwrap(), model.raw, "{name}");
        assert_eq!(text.raw(&model.raw_with_bos.0).unwrap(), model.raw_with_bos.1, "{name}");
    }
}

/// A tokenizer.json of single letters and `tokens`, those with a flag being added tokens that are special or not.
fn letters(tokens: &[(&str, Option<bool>)]) -> Value {
    let mut json: Value = serde_json::from_str(TOKENIZER_JSON).unwrap();
    let mut vocab: Map<String, Value> = (' '..='~').zip(0..).map(|(letter, id)| (letter.into(), json!(id))).collect();
    vocab.remove(" ");
    vocab.insert("Ġ".into(), json!(0));
    let mut added = Vec::new();
    for (token, special) in tokens {
        let id = vocab.len();
        vocab.insert((*token).to_owned(), id.into());
        added.extend(special.map(|special| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special})
        }));
    }
    json["model"] = json!({"type": "BPE", "vocab": vocab, "merges": []});
    json["added_tokens"] = added.into();
    json
}

const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}";

#[test]
fn an_end_of_turn_stops_and_is_special_whatever_the_files_say() {
    // Letters have the ids to 94; what follows is in the order given.
    let (im_start, im_end, eos) = (95, 96, 97);
    let tokenizer = |flag| letters(&[("<|im_start|>", flag), ("<|im_end|>", flag), ("</s>", None)]);
    let decoder =
        json!({"95": {"content": "<|im_start|>", "special": true}, "96": {"content": "<|im_end|>", "special": true}});
    let config = |more: Value| {
        let mut config = json!({"eos_token": "</s>", "chat_template": CHATML});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (TOKENIZER_CONFIG, config)
    };
    for files in [
        vec![(TOKENIZER, tokenizer(Some(true))), config(json!({}))],
        vec![(TOKENIZER, tokenizer(Some(false))), config(json!({}))],
        vec![(TOKENIZER, tokenizer(Some(false))), config(json!({"added_tokens_decoder": decoder}))],
        vec![(TOKENIZER, tokenizer(None)), config(json!({"added_tokens_decoder": decoder}))],
        vec![
            (TOKENIZER, tokenizer(None)),
            config(json!({"additional_special_tokens": ["<|im_start|>", {"content": "<|im_end|>"}]})),
        ],
        vec![
            (TOKENIZER, tokenizer(None)),
            config(json!({"extra_special_tokens": {"start_token": "<|im_start|>", "end_token": "<|im_end|>"}})),
        ],
        vec![
            (TOKENIZER, tokenizer(None)),
            config(json!({})),
            (SPECIAL_TOKENS, json!({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})),
        ],
        vec![
            (TOKENIZER, tokenizer(None)),
            config(json!({})),
            (ADDED_TOKENS, json!({"<|im_start|>": im_start, "<|im_end|>": im_end})),
        ],
    ] {
        let text = text_of(&files).unwrap();
        assert_eq!((text.end_of_turn(), text.stop_tokens()), (im_end, &[im_end, eos][..]), "{files:?}");
        let said = [Message { role: "user".to_owned(), content: "a".to_owned() }];
        assert_eq!(text.prompt(&said).unwrap(), [im_start, 65, im_end], "{files:?}");
        assert_eq!(text.said(&[65, im_end, 66], Finish::Length).unwrap(), "ab", "{files:?}");
        // The end of text is special by its name alone.
        assert_eq!(text.raw("</s>").unwrap(), [eos]);
    }
}

#[test]
fn added_tokens_come_as_their_files_count_them() {
    let tokenizer = letters(&[("</s>", Some(true))]);
    let decoder =
        |id: &str| json!({"eos_token": "</s>", "added_tokens_decoder": {id: {"content": "<new>", "special": false}}});
    let text = text_of(&[(TOKENIZER, tokenizer.clone()), (TOKENIZER_CONFIG, decoder("96"))]).unwrap();
    assert_eq!(text.raw("a<new>").unwrap(), [65, 96]);
    let message = text_of(&[(TOKENIZER, tokenizer), (TOKENIZER_CONFIG, decoder("99"))]).unwrap_err().to_string();
    assert!(
        message.contains("added_tokens_decoder.99: \"<new>\" is not in tokenizer.json, whose next free id is 96"),
        "{message}"
    );
}

#[test]
fn older_folders_say_in_the_map_what_their_tokens_are() {
    let tokenizer = letters(&[("<a>", Some(true)), ("<b>", Some(true))]);
    let map = (SPECIAL_TOKENS, json!({"eos_token": {"content": "<b>"}}));
    let end = |config: Value| {
        text_of(&[(TOKENIZER, tokenizer.clone()), (TOKENIZER_CONFIG, config), map.clone()]).unwrap().end_of_turn()
    };
    assert_eq!(end(json!({"eos_token": "<a>"})), 96);
    assert_eq!(end(json!({"eos_token": "<a>", "added_tokens_decoder": {}})), 95);
}

#[test]
fn a_text_begins_once_and_goes_on() {
    let tokenizer = letters(&[("<s>", Some(true)), ("</s>", Some(true))]);
    let config = json!({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true, "add_eos_token": true,
        "chat_template": "{{ bos_token }}{{ messages[0].content }}"});
    let text = text_of(&[(TOKENIZER, tokenizer), (TOKENIZER_CONFIG, config)]).unwrap();
    assert_eq!(text.raw("ab").unwrap(), [95, 65, 66]);
    assert_eq!(text.raw("<s>ab").unwrap(), [95, 65, 66]);
    assert_eq!(text.raw("").unwrap(), [95]);
    let said = [Message { role: "user".to_owned(), content: "ab".to_owned() }];
    assert_eq!(text.prompt(&said).unwrap(), [95, 65, 66]);
    assert_eq!(text.raw_and_completion("<s>a", "b", Finish::Stop).unwrap(), [95, 65, 66, 96]);
}

#[test]
fn a_negative_end_is_none() {
    let files = |id: Value| {
        let files = [
            (TOKENIZER, letters(&[("</s>", Some(true))])),
            (TOKENIZER_CONFIG, json!({"eos_token": "</s>"})),
            (GENERATION, json!({"eos_token_id": id})),
        ];
        text_of(&files).map(|text| text.stop_tokens().to_vec()).map_err(|error| error.to_string())
    };
    assert_eq!(files(json!(-1)), Ok(vec![95]));
    assert_eq!(files(json!([-1, 65, 95])), Ok(vec![65, 95]));
    assert!(files(json!([1.5])).unwrap_err().contains("expected a token or a list of tokens"));
}

#[test]
fn what_tokenizers_would_panic_on_is_refused() {
    let with = |key: &str, value: Value| {
        let mut json: Value = serde_json::from_str(TOKENIZER_JSON).unwrap();
        json[key] = value;
        let mut files = folder(Dtype::F32);
        files.insert(TOKENIZER.to_owned(), json.to_string().into_bytes());
        refusal(&files)
    };
    let model = |changes: Value| {
        let mut model = json!({"type": "BPE", "vocab": {"<s>": 0, "</s>": 1, "a": 2}, "merges": []});
        model.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        with("model", model)
    };
    assert!(model(json!({"type": "Unigram"})).contains("model.type: \"Unigram\""));
    assert!(model(json!({"continuing_subword_prefix": "##"})).contains("continuing_subword_prefix"));
    assert!(model(json!({"dropout": 0.1})).contains("dropout: 0.1"));
    assert!(model(json!({"vocab": {"a": u32::MAX}})).contains("embeds only 6"));
    assert!(with("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": 1})).contains("normalizer"));
    assert!(
        with("decoder", json!({"type": "Strip", "content": " ", "start": 0, "stop": 1})).contains("decoder.stop: 1")
    );
    let template =
        |single: Value| json!({"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": {}});
    let token = json!([{"SpecialToken": {"id": "<s>", "type_id": 0}}]);
    assert!(with("post_processor", template(token)).contains("\"<s>\", whose ids"));
    let second = json!([{"Sequence": {"id": "B", "type_id": 0}}]);
    assert!(with("post_processor", template(second)).contains("names a second"));
    let twice = json!({"type": "Sequence", "processors": [template(json!([])), template(json!([]))]});
    assert!(with("post_processor", twice).contains("more than one"));
}
