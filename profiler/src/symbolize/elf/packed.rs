//! The bytes of sections, unpacked: linkers and `objcopy` compress debug information, distributions pack a symbol
//! table of its own into a section (MiniDebugInfo).
//!
//! How much comes out is a claim of the file. Memory grows with what really comes out, up to a limit.

use std::io::{ErrorKind, Read};

use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

use super::header::Header;
use super::parts::Section;
use super::source::{Numbers as _, ReadError, Source};

const ELFCOMPRESS_ZLIB: u32 = 1;
const ELFCOMPRESS_ZSTD: u32 = 2;

/// Most memory for the dictionary of `xz`, in KiB: `xz -9` takes 64 MiB and a little more.
const MAX_XZ_DICTIONARY: u32 = 72 << 10;

/// Largest window of a zstd frame that says no size: what the highest level (`--ultra -22`) takes. It is reserved, but
/// memory is only used as far as bytes come out.
const MAX_ZSTD_WINDOW: u64 = 128 << 20;

/// The bytes of a section, unpacked; more than `limit` of them is an error, before and after.
pub(crate) fn section_bytes(
    source: &Source,
    header: &Header,
    section: &Section,
    limit: u64,
) -> Result<Vec<u8>, ReadError> {
    if !section.has_bytes() {
        return Ok(Vec::new());
    }
    let bytes = source.read(section.offset, section.size, limit)?;
    if section.is_compressed() {
        return compressed(&bytes, header.is_64, limit);
    }
    if section.name.starts_with(".zdebug_") {
        return gnu_compressed(&bytes, limit);
    }
    Ok(bytes)
}

/// A section with the header that the ELF standard gives a compressed one (`Elf64_Chdr`, `Elf32_Chdr`).
fn compressed(bytes: &[u8], is_64: bool, limit: u64) -> Result<Vec<u8>, ReadError> {
    let (kind, size, start) = if is_64 {
        (bytes.u32_at(0), bytes.u64_at(8), 24)
    } else {
        (bytes.u32_at(0), bytes.u32_at(4).map(u64::from), 12)
    };
    let (Some(kind), Some(size), Some(packed)) = (kind, size, bytes.get(start..)) else {
        return Err(ReadError::Malformed);
    };
    match kind {
        ELFCOMPRESS_ZLIB => exactly(flate2::read::ZlibDecoder::new(packed), size, limit),
        ELFCOMPRESS_ZSTD => zstd(packed, size, limit),
        _ => Err(ReadError::Unsupported),
    }
}

/// What GNU tools wrote before that: `ZLIB`, the size in big-endian order, the packed bytes.
fn gnu_compressed(bytes: &[u8], limit: u64) -> Result<Vec<u8>, ReadError> {
    let (Some(b"ZLIB"), Some(size), Some(packed)) =
        (bytes.get(..4), bytes.bytes_at(4), bytes.get(12..))
    else {
        return Err(ReadError::Malformed);
    };
    let size = u64::from_be_bytes(size);
    exactly(flate2::read::ZlibDecoder::new(packed), size, limit)
}

/// One zstd frame after the other, as linkers write that compress in parallel.
fn zstd(mut packed: &[u8], size: u64, limit: u64) -> Result<Vec<u8>, ReadError> {
    if size > limit {
        return Err(ReadError::TooLarge);
    }
    let mut unpacked = Vec::new();
    while !packed.is_empty() {
        let left = size - unpacked.len() as u64;
        let mut decoder =
            StreamingDecoder::new_with_max_window_size(packed, size.max(MAX_ZSTD_WINDOW))
                .map_err(|_| ReadError::Malformed)?;
        let count = (&mut decoder)
            .take(left + 1)
            .read_to_end(&mut unpacked)
            .map_err(|_| ReadError::Malformed)?;
        if count as u64 > left {
            return Err(ReadError::Malformed);
        }
        packed = decoder.into_inner();
    }
    if unpacked.len() as u64 != size {
        return Err(ReadError::Malformed);
    }
    Ok(unpacked)
}

/// The bytes of `.gnu_debugdata`: an ELF file in `xz` format.
pub(crate) fn xz(packed: &[u8], limit: u64) -> Result<Vec<u8>, ReadError> {
    let mut unpacked = Vec::new();
    let reader = XzReader::new_mem_limit(packed, true, MAX_XZ_DICTIONARY);
    let mut bounded = reader.take(limit.saturating_add(1));
    bounded
        .read_to_end(&mut unpacked)
        .map_err(|error| match error.kind() {
            ErrorKind::OutOfMemory => ReadError::TooLarge,
            ErrorKind::Unsupported => ReadError::Unsupported,
            _ => ReadError::Malformed,
        })?;
    if unpacked.len() as u64 > limit {
        return Err(ReadError::TooLarge);
    }
    Ok(unpacked)
}

/// All that comes out of `reader`, which has to be `size` bytes.
fn exactly(reader: impl Read, size: u64, limit: u64) -> Result<Vec<u8>, ReadError> {
    if size > limit {
        return Err(ReadError::TooLarge);
    }
    let mut unpacked = Vec::new();
    reader
        .take(size.saturating_add(1))
        .read_to_end(&mut unpacked)
        .map_err(|_| ReadError::Malformed)?;
    if unpacked.len() as u64 != size {
        return Err(ReadError::Malformed);
    }
    Ok(unpacked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// `Elf64_Chdr` and what follows it.
    fn chdr(kind: u32, size: u64, packed: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(size.to_le_bytes());
        bytes.extend(1u64.to_le_bytes());
        bytes.extend(packed);
        bytes
    }

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A zstd frame of one block that repeats a byte (RFC 8878): a window of 1 MiB, no size, no checksum.
    fn zstd_frame(byte: u8, count: u32) -> Vec<u8> {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50];
        let block = count << 3 | 1 << 1 | 1;
        frame.extend(&block.to_le_bytes()[..3]);
        frame.push(byte);
        frame
    }

    #[test]
    fn what_is_unknown_is_told_apart_from_what_is_damaged() {
        let text = vec![b'x'; 10_000];
        let packed = zlib(&text);
        let read = |kind, size, packed: &[u8]| compressed(&chdr(kind, size, packed), true, 1 << 20);
        assert_eq!(read(1, 10_000, &packed), Ok(text.clone()));
        assert_eq!(read(3, 10_000, &packed), Err(ReadError::Unsupported));
        assert_eq!(read(2, 10_000, &packed), Err(ReadError::Malformed));
        // More, or less, than it says.
        assert_eq!(read(1, 9_999, &packed), Err(ReadError::Malformed));
        assert_eq!(read(1, 10_001, &packed), Err(ReadError::Malformed));
        assert_eq!(read(1, 1 << 40, &packed), Err(ReadError::TooLarge));
        let mut old = b"ZLIB".to_vec();
        old.extend(10_000u64.to_be_bytes());
        old.extend(&packed);
        assert_eq!(gnu_compressed(&old, 1 << 20), Ok(text));
        assert_eq!(gnu_compressed(b"GZIP", 1 << 20), Err(ReadError::Malformed));
    }

    #[test]
    fn several_zstd_frames_follow_each_other() {
        let mut frames = zstd_frame(b'a', 3000);
        frames.extend(zstd_frame(b'b', 2));
        let unpacked = zstd(&frames, 3002, 1 << 20).unwrap();
        assert_eq!((unpacked[2999], unpacked[3000]), (b'a', b'b'));
        assert_eq!(zstd(&frames, 3001, 1 << 20), Err(ReadError::Malformed));
        assert_eq!(zstd(&frames, 3003, 1 << 20), Err(ReadError::Malformed));
        // 64 bytes that would become 8 MiB.
        let bomb: Vec<u8> = (0..64).flat_map(|_| zstd_frame(0, 1 << 17)).collect();
        assert_eq!(zstd(&bomb, 1000, 1 << 20), Err(ReadError::Malformed));
        assert_eq!(zstd(&bomb, 8 << 20, 1 << 20), Err(ReadError::TooLarge));
    }
}
