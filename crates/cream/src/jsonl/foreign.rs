//! Files that are no JSON lines, known by how they begin.

/// First bytes, what they mean and the next step.
const KINDS: &[(&[u8], &str, &str)] = &[
    (b"\x1f\x8b", "compressed with gzip", "decompress it first (gzip -d)"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "decompress it first (zstd -d)"),
    (b"\xfd7zXZ\0", "compressed with xz", "decompress it first (xz -d)"),
    (b"BZh", "compressed with bzip2", "decompress it first (bzip2 -d)"),
    (b"\x04\x22\x4d\x18", "compressed with lz4", "decompress it first (lz4 -d)"),
    (b"PK\x03\x04", "a zip archive", "unpack it first (unzip)"),
    (b"PK\x05\x06", "an empty zip archive", "give another file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first (7z x)"),
    (b"PAR1", "a parquet file", "`cream import` turns it into them"),
    (b"PARE", "an encrypted parquet file", "decrypt it first"),
    (b"ARROW1", "an Arrow file", "save it as parquet, which `cream import` reads"),
    (b"\xff\xff\xff\xff", "a stream of Arrow", "save it as parquet, which `cream import` reads"),
    (b"SQLite format 3\0", "a SQLite database", "save its table as JSON lines"),
    (b"version https://git-lfs", "a pointer of Git LFS and not the file itself", "fetch that first (git lfs pull)"),
    (b"\x00\x00\xfe\xff", "UTF-32", "convert it to UTF-8 first (iconv -f UTF-32 -t UTF-8)"),
    (b"\xff\xfe\x00\x00", "UTF-32", "convert it to UTF-8 first (iconv -f UTF-32 -t UTF-8)"),
    (b"\xff\xfe", "UTF-16", "convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)"),
    (b"\xfe\xff", "UTF-16", "convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)"),
];

/// What a file is that begins so, and the next step; none where it may be JSON lines.
pub(super) fn named(start: &[u8]) -> Option<String> {
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let (what, next) = match KINDS.iter().find(|(first, ..)| start.starts_with(first)) {
        Some((_, what, next)) => (*what, *next),
        // Without a byte-order mark: ASCII characters with zeros between them.
        None => match start {
            [0, 0, 0, 1..=255, ..] => ("UTF-32", "convert it to UTF-8 first (iconv -f UTF-32BE -t UTF-8)"),
            [1..=255, 0, 0, 0, ..] => ("UTF-32", "convert it to UTF-8 first (iconv -f UTF-32LE -t UTF-8)"),
            [0, 1..=255, ..] => ("UTF-16", "convert it to UTF-8 first (iconv -f UTF-16BE -t UTF-8)"),
            [1..=255, 0, ..] => ("UTF-16", "convert it to UTF-8 first (iconv -f UTF-16LE -t UTF-8)"),
            _ => match text.trim_ascii_start() {
                [b'[', ..] => ("a JSON array", "`cream import` turns it into them"),
                [b'<', b'!' | b'h' | b'H', ..] => ("a web page", "fetch the file itself"),
                _ => return None,
            },
        },
    };
    Some(format!("{what}, expected JSON lines in UTF-8: {next}"))
}

#[cfg(test)]
mod tests {
    use crate::jsonl::read_jsonl;
    use crate::rows::Prompt;

    fn read(bytes: &[u8]) -> String {
        read_jsonl::<Prompt>("p", bytes).map(|rows| format!("{rows:?}")).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn other_files_are_named_as_what_they_are() {
        let line = "{\"id\":1,\"prompt\":\"é\"}\n";
        let utf16 = |order: fn(u16) -> [u8; 2]| line.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let utf32 = |order: fn(u32) -> [u8; 4]| line.chars().flat_map(|c| order(c.into())).collect::<Vec<u8>>();
        let (le, be) = (utf16(u16::to_le_bytes), utf16(u16::to_be_bytes));
        for (file, expected) in [
            ([b"\xff\xfe", &le[..]].concat(), "p: UTF-16, expected JSON lines in UTF-8: convert"),
            ([b"\xfe\xff", &be[..]].concat(), "p: UTF-16, expected"),
            (le, "p: UTF-16, expected JSON lines in UTF-8: convert it to UTF-8 first (iconv -f UTF-16LE"),
            (be, "p: UTF-16, expected JSON lines in UTF-8: convert it to UTF-8 first (iconv -f UTF-16BE"),
            (utf32(u32::to_le_bytes), "p: UTF-32, expected"),
            (utf32(u32::to_be_bytes), "p: UTF-32, expected"),
            (
                b"\x1f\x8b\x08\0\0\0\0\0\0\x03\n".into(),
                "p: compressed with gzip, expected JSON lines in UTF-8: decompress",
            ),
            (b"\x28\xb5\x2f\xfd\0".into(), "p: compressed with zstd, expected"),
            (b"PK\x03\x04\x14".into(), "p: a zip archive, expected"),
            (b"PAR1\x15".into(), "p: a parquet file, expected JSON lines in UTF-8: `cream import` turns it into them"),
            (b"[\n{}]".into(), "p: a JSON array, expected"),
            (b"<!DOCTYPE html>".into(), "p: a web page, expected"),
            (b"version https://git-lfs.github.com/spec/v1\n".into(), "p: a pointer of Git LFS"),
        ] {
            let message = read(&file);
            assert!(message.starts_with(expected), "{message} should start with {expected}");
        }
    }

    #[test]
    fn half_a_character_is_named() {
        for half in ["\\ud800", "\\udc00", "\\ud800x", "\\uD83D\\n", "\\ud83d\\ud83d"] {
            let message = read(format!("{{\"id\":1,\"prompt\":\"a{half}\"}}").as_bytes());
            assert!(message.starts_with("p: line 1: column ") && message.contains(": a lone surrogate"), "{message}");
        }
        assert!(read(b"{\"id\":1,\"prompt\":\"\\ud83d\\ude00\"}").contains("\u{1f600}"));
        assert_eq!(
            read(b"{\"id\":1,\"prompt\":\"\xed\xa0\x80\"}"),
            "p: line 1: not UTF-8 at byte 19: half of a surrogate pair"
        );
    }
}
