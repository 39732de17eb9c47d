//! Where a model's file lies: in memory, in a Blob (a file of the visitor's, or one kept in OPFS), or at a URL. Of the last two
//! only the parts that are asked for are read.

use std::collections::BTreeMap;
use std::ops::Range;

use cream::engine::{Error, Reader, Result};
use js_sys::{ArrayBuffer, Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::error::{new, unreadable};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = fetch, catch)]
    fn fetch(url: &str, options: &JsValue) -> std::result::Result<Promise, JsValue>;

    type Response;
    #[wasm_bindgen(constructor, catch)]
    fn new(body: &JsValue) -> std::result::Result<Response, JsValue>;
    #[wasm_bindgen(method)]
    fn blob(this: &Response) -> Promise;
}

/// A file of which parts are read.
pub(crate) struct File {
    name: String,
    len: u64,
    place: Place,
}

enum Place {
    Bytes(Uint8Array),
    /// Anything with `size` and `slice(from, to).arrayBuffer()`.
    Blob(JsValue),
    /// Of a server that hands out parts.
    Url(String),
}

impl File {
    /// Bytes, a Blob, a stream, which is read to its end into a Blob, or a URL, which is asked for its first byte.
    pub(crate) async fn open(name: &str, source: &JsValue) -> Result<Self> {
        if let Some(bytes) = source.dyn_ref::<Uint8Array>() {
            let place = Place::Bytes(bytes.clone());
            return Ok(File { name: name.into(), len: u64::from(bytes.length()), place });
        }
        if let Some(len) = number(source, "size") {
            return Ok(File { name: name.into(), len, place: Place::Blob(source.clone()) });
        }
        if !get(source, "getReader").is_undefined() {
            let response = Response::new(source).map_err(|e| unreadable(name, e))?;
            return File::of_blob(name, wait(name, Ok(response.blob().into())).await?);
        }
        let url = source.as_string().or_else(|| Reflect::get(source, &"href".into()).ok()?.as_string());
        let url =
            url.ok_or_else(|| Error::file(name, "source", "expected a Blob, a Uint8Array, a ReadableStream or a URL"))?;
        File::at(name, url).await
    }

    fn of_blob(name: &str, blob: JsValue) -> Result<Self> {
        Ok(File { name: name.into(), len: number(&blob, "size").unwrap_or(0), place: Place::Blob(blob) })
    }

    async fn at(name: &str, url: String) -> Result<Self> {
        let response = request(name, &url, &(0..1)).await?;
        match number(&response, "status") {
            Some(206) => {
                let headers = get(&response, "headers");
                let range = method(&headers, "get", &["content-range".into()]).ok().and_then(|range| range.as_string());
                let len = range.as_deref().and_then(|range| range.rsplit_once('/')?.1.parse().ok());
                let expected = "the server does not say how long the file is (Content-Range), expected it to";
                let len = len.ok_or_else(|| Error::file(name, &url, expected))?;
                Ok(File { name: name.into(), len, place: Place::Url(url) })
            }
            // Without parts it is all or nothing; the browser keeps it outside of our memory.
            Some(200) => File::of_blob(name, wait(name, method(&response, "blob", &[])).await?),
            status => {
                let status = status.map_or_else(|| "no status".to_owned(), |status| format!("status {status}"));
                Err(Error::file(name, &url, format_args!("{status}, expected 206 or 200")))
            }
        }
    }
}

impl Reader for File {
    fn len(&self) -> u64 {
        self.len
    }

    async fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let bytes = match &self.place {
            Place::Bytes(bytes) => return Ok(bytes.subarray(range.start as u32, range.end as u32).to_vec()),
            Place::Blob(blob) => {
                let ends = [(range.start as f64).into(), (range.end as f64).into()];
                let part = method(blob, "slice", &ends).map_err(|e| unreadable(&self.name, e))?;
                wait(&self.name, method(&part, "arrayBuffer", &[])).await?
            }
            Place::Url(url) => {
                let response = request(&self.name, url, &range).await?;
                if number(&response, "status") != Some(206) {
                    return Err(Error::file(&self.name, url, "a part was refused, expected status 206"));
                }
                wait(&self.name, method(&response, "arrayBuffer", &[])).await?
            }
        };
        let buffer: ArrayBuffer = bytes.unchecked_into();
        let found = u64::from(buffer.byte_length());
        if found != range.end - range.start {
            let problem = format_args!("{found} bytes of {range:?} could be read, expected all");
            return Err(Error::file(&self.name, "contents", problem));
        }
        Ok(Uint8Array::new(&buffer).to_vec())
    }
}

/// Whether a source is the files of a folder, by name.
pub(crate) fn is_folder(source: &JsValue) -> bool {
    source.is_object()
        && !source.is_instance_of::<Uint8Array>()
        && number(source, "size").is_none()
        && get(source, "href").is_undefined()
        && get(source, "getReader").is_undefined()
}

/// The files of a folder.
pub(crate) async fn folder(source: &JsValue) -> Result<BTreeMap<String, File>> {
    let mut files = BTreeMap::new();
    for entry in Object::entries(source.unchecked_ref()).iter() {
        let entry: js_sys::Array = entry.unchecked_into();
        let name = entry.get(0).as_string().unwrap_or_default();
        let file = File::open(&name, &entry.get(1)).await?;
        files.insert(name, file);
    }
    Ok(files)
}

async fn request(name: &str, url: &str, range: &Range<u64>) -> Result<JsValue> {
    let bad = |e: JsValue| Error::file(name, url, format_args!("cannot fetch it: {}", said(&e)));
    let (options, headers) = (Object::new(), Object::new());
    let bytes = format!("bytes={}-{}", range.start, range.end - 1);
    Reflect::set(&headers, &"range".into(), &bytes.into()).map_err(bad)?;
    Reflect::set(&options, &"headers".into(), &headers).map_err(bad)?;
    JsFuture::from(fetch(url, &options).map_err(bad)?).await.map_err(bad)
}

fn said(error: &JsValue) -> String {
    get(error, "message").as_string().unwrap_or_else(|| format!("{error:?}"))
}

async fn wait(name: &str, promise: std::result::Result<JsValue, JsValue>) -> Result<JsValue> {
    let promise: Promise = promise.map_err(|e| unreadable(name, e))?.unchecked_into();
    JsFuture::from(promise).await.map_err(|e| unreadable(name, e))
}

fn get(value: &JsValue, key: &str) -> JsValue {
    Reflect::get(value, &key.into()).unwrap_or(JsValue::UNDEFINED)
}

fn number(value: &JsValue, key: &str) -> Option<u64> {
    get(value, key).as_f64().map(|number| number as u64)
}

fn method(value: &JsValue, name: &str, arguments: &[JsValue]) -> std::result::Result<JsValue, JsValue> {
    let missing = |_| new("Error", &format!("no function {name}"));
    let function: Function = get(value, name).dyn_into().map_err(missing)?;
    function.apply(value, &arguments.iter().cloned().collect())
}
