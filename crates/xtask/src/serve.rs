//! `cargo xtask web --serve`: web/dist on 127.0.0.1, for a look at it; any file server does.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Result as IoResult, Seek, SeekFrom, Write, copy};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, bail};

/// What a page that says nothing of its own may do: nothing is sent anywhere, and a model is fetched from where the visitor
/// says.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self' https: http:; \
    img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const LONGEST_HEAD: u64 = 16 << 10;

/// Serves a folder until it is interrupted; port 0 is any that is free.
pub(crate) fn run(folder: &Path, port: u16) -> Result<()> {
    if !folder.join("index.html").exists() {
        bail!("{} has no index.html", folder.display());
    }
    let folder = fs::canonicalize(folder)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("cannot use port {port}"))?;
    println!("http://{}/", listener.local_addr()?);
    for stream in listener.incoming().flatten() {
        let folder = folder.clone();
        // A visitor that goes away in the middle is no failure of ours.
        thread::spawn(move || drop(answer(stream, &folder)));
    }
    Ok(())
}

/// What is asked for.
#[derive(Debug, PartialEq)]
struct Request {
    method: String,
    path: String,
    range: Option<String>,
}

/// Answers the one request of a connection.
fn answer(mut stream: TcpStream, folder: &Path) -> IoResult<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = request(BufReader::new((&stream).take(LONGEST_HEAD)))?;
    let with_body = match &request {
        Some(Request { method, .. }) if method == "GET" => true,
        Some(Request { method, .. }) if method == "HEAD" => false,
        Some(_) => return head(&mut stream, "405 Method Not Allowed", "text/plain", 0, "Allow: GET, HEAD\r\n"),
        None => return head(&mut stream, "400 Bad Request", "text/plain", 0, ""),
    };
    let Some((path, request)) = request.and_then(|request| Some((file(folder, &request.path)?, request))) else {
        return head(&mut stream, "404 Not Found", "text/plain", 0, "");
    };
    let mut opened = File::open(&path)?;
    let len = opened.metadata()?.len();
    let (status, first, end, more) = match request.range.as_deref().map(|range| part(range, len)) {
        None | Some(Part::Whole) => ("200 OK", 0, len, String::new()),
        Some(Part::Of(first, end)) => {
            ("206 Partial Content", first, end, format!("Content-Range: bytes {first}-{}/{len}\r\n", end - 1))
        }
        Some(Part::Nothing) => {
            let more = format!("Content-Range: bytes */{len}\r\n");
            return head(&mut stream, "416 Range Not Satisfiable", "text/plain", 0, &more);
        }
    };
    head(&mut stream, status, content_type(&path), end - first, &more)?;
    if with_body {
        opened.seek(SeekFrom::Start(first))?;
        copy(&mut opened.take(end - first), &mut stream)?;
    }
    Ok(())
}

/// `None` if it is not HTTP.
fn request(mut head: impl BufRead) -> IoResult<Option<Request>> {
    let mut line = String::new();
    head.read_line(&mut line)?;
    let [method, path, version] = line.split_whitespace().collect::<Vec<_>>()[..] else { return Ok(None) };
    if !version.starts_with("HTTP/1.") {
        return Ok(None);
    }
    let mut request = Request { method: method.to_owned(), path: path.to_owned(), range: None };
    loop {
        let mut line = String::new();
        if head.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("range") => request.range = Some(value.trim().to_owned()),
            Some(_) => {}
            None => return Ok(Some(request)),
        }
    }
}

fn head(stream: &mut TcpStream, status: &str, content_type: &str, len: u64, more: &str) -> IoResult<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len}\r\nContent-Security-Policy: {POLICY}\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-cache\r\n\
         Accept-Ranges: bytes\r\nConnection: close\r\n{more}\r\n"
    )
}

/// The file of a path, if it is one in the folder.
fn file(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = decoded(path.split(['?', '#']).next()?.strip_prefix('/')?)?;
    let mut found = fs::canonicalize(folder.join(path.trim_start_matches('/'))).ok()?;
    if found.is_dir() {
        found = fs::canonicalize(found.join("index.html")).ok()?;
    }
    // Links and dots are resolved by now.
    (found.starts_with(folder) && found.is_file()).then_some(found)
}

/// Without %20 and the like.
fn decoded(path: &str) -> Option<String> {
    let mut parts = path.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// What a Range header asks of a file.
#[derive(Debug, PartialEq)]
enum Part {
    /// Also of what is not understood, as RFC 9110 has it.
    Whole,
    /// First byte and the one after the last.
    Of(u64, u64),
    Nothing,
}

fn part(range: &str, len: u64) -> Part {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return Part::Whole;
    };
    let (first, end) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(len)),
        (Ok(first), Err(_)) if last.is_empty() => (first, len),
        (Err(_), Ok(last)) if first.is_empty() => (len.saturating_sub(last), len),
        _ => return Part::Whole,
    };
    if first < end { Part::Of(first, end) } else { Part::Nothing }
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("ico") => "image/x-icon",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("png") => "image/png",
        Some("svg") => "image/svg+xml",
        Some("txt" | "md" | "ts" | "jsonl") => "text/plain; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("webmanifest") => "application/manifest+json",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_in_rfc_9110() {
        for (range, expected) in [
            ("bytes=0-3", Part::Of(0, 4)),
            ("bytes=6-", Part::Of(6, 10)),
            ("bytes=6-99", Part::Of(6, 10)),
            ("bytes=-3", Part::Of(7, 10)),
            ("bytes=-99", Part::Of(0, 10)),
            ("bytes=0-18446744073709551615", Part::Of(0, 10)),
            ("bytes=10-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=3-2", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("bytes=-", Part::Whole),
            ("lines=0-3", Part::Whole),
        ] {
            assert_eq!(part(range, 10), expected, "{range}");
        }
    }

    #[test]
    fn no_path_leaves_the_folder() {
        let folder = fs::canonicalize("src").unwrap();
        assert_eq!(file(&folder, "/serve.rs?v=1"), Some(folder.join("serve.rs")));
        assert_eq!(file(&folder, "/ser%76e.rs"), Some(folder.join("serve.rs")));
        let outside =
            ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd", "/%2fetc/passwd", "serve.rs", "/", "/%zz"];
        for path in outside {
            assert_eq!(file(&folder, path), None, "{path}");
        }
    }

    #[test]
    fn requests_are_read_to_their_end() {
        let read = |text: &str| request(text.as_bytes()).unwrap();
        let expected = Request { method: "GET".into(), path: "/a".into(), range: Some("bytes=0-1".into()) };
        assert_eq!(read("GET /a HTTP/1.1\r\nHost: x\r\nRANGE: bytes=0-1\r\n\r\n"), Some(expected));
        for text in ["", "GET /a\r\n\r\n", "GET /a HTTP/1.1\r\nHost: x\r\n", "GET /a SSH\r\n\r\n"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
