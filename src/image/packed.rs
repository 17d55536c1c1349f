//! Files that are compressed in one piece: gzip, xz, bzip2; and zip archives with an image in them.

use super::aff4;
use super::formats::{Format, Found, Job, Opening, Refusal};
use super::known::is_zlib;
use super::source::Source;
use super::unpack::{Stream, to_cache};
use crate::{Error, Warning};
use std::cmp::Reverse;
use std::io::{self, BufRead as _, BufReader, Read};

/// gzip, of one member or many (pigz, bgzip): RFC 1952.
pub(super) static GZIP: Format = Format {
    title: "a file compressed with gzip",
    // Deflate is the one method, and the high bits of the flags are zero.
    mark: |opening| opening.source.has(0, b"\x1f\x8b\x08") && opening.source.u8(3).is_some_and(|flags| flags < 0x20),
    job: Job::Read(|opening| {
        let reader = Members::new(opening.source.clone());
        let (inside, path) = to_cache(&opening.source, reader, None, opening.options)?;
        Ok(Found::unpacked("gzip", inside, path))
    }),
};

/// The members of a file, as one. Zeros behind one fill the last block of a tape, and some copies: they are passed over, as gzip does.
struct Members(Option<flate2::bufread::GzDecoder<BufReader<Stream>>>);

impl Members {
    fn new(source: Source) -> Self {
        Self(Some(flate2::bufread::GzDecoder::new(BufReader::new(Stream::new(source)))))
    }
}

impl Read for Members {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(member) = &mut self.0 else { return Ok(0) };
            let read = member.read(buf)?;
            if read > 0 || buf.is_empty() {
                return Ok(read);
            }
            let Some(mut rest) = self.0.take().map(flate2::bufread::GzDecoder::into_inner) else { return Ok(0) };
            loop {
                let bytes = rest.fill_buf()?;
                if bytes.is_empty() {
                    return Ok(0);
                }
                let (zeros, all) = (bytes.iter().take_while(|byte| **byte == 0).count(), bytes.len());
                rest.consume(zeros);
                if zeros < all {
                    break;
                }
            }
            self.0 = Some(flate2::bufread::GzDecoder::new(rest));
        }
    }
}

/// What LiME writes with compress=1: one zlib stream (RFC 1950) of all of its output, headers included.
pub(super) static ZLIB: Format = Format {
    title: "an image that LiME compressed (zlib)",
    mark: |opening| is_zlib(&opening.source),
    job: Job::Read(|opening| {
        let reader = flate2::read::ZlibDecoder::new(Stream::new(opening.source.clone()));
        let (inside, path) = to_cache(&opening.source, reader, None, opening.options)?;
        Ok(Found::unpacked("zlib", inside, path))
    }),
};

/// xz: `xz-file-format.txt`.
pub(super) static XZ: Format = Format {
    title: "a file compressed with xz",
    mark: |opening| opening.source.has(0, b"\xfd7zXZ\0"),
    job: Job::Read(|opening| {
        let reader = lzma_rust2::XzReader::new(BufReader::new(Stream::new(opening.source.clone())), true);
        let (inside, path) = to_cache(&opening.source, reader, None, opening.options)?;
        Ok(Found::unpacked("xz", inside, path))
    }),
};

/// bzip2: the level, and the mark of a block (or of the end).
pub(super) static BZIP2: Format = Format {
    title: "a file compressed with bzip2",
    mark: |opening| {
        let source = &opening.source;
        source.has(0, b"BZh") && (source.has(4, b"1AY&SY") || source.has(4, b"\x17\x72\x45\x38\x50\x90"))
    },
    job: Job::Read(|opening| {
        let reader = bzip2::read::MultiBzDecoder::new(Stream::new(opening.source.clone()));
        let (inside, path) = to_cache(&opening.source, reader, None, opening.options)?;
        Ok(Found::unpacked("bzip2", inside, path))
    }),
};

/// zip: PKWARE's APPNOTE. AFF4 images are zip files too.
pub(super) static ZIP: Format =
    Format { title: "a zip archive", mark: |opening| opening.source.has(0, b"PK\x03\x04"), job: Job::Read(zip) };

/// Whether a file in an archive has the name of a page file: collectors pack them beside the image, and they may be the larger.
pub(super) fn is_page_file(path: &str) -> bool {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path).to_ascii_lowercase();
    ["pagefile.sys", "swapfile.sys", "hiberfil.sys"].iter().any(|known| name == *known)
}

fn zip(opening: &Opening<'_>) -> Result<Found, Refusal> {
    let source = &opening.source;
    let reader = BufReader::new(Stream::new(source.clone()));
    let mut archive =
        zip::ZipArchive::new(reader).map_err(|error| Refusal::NotThis(format!("its list of files: {error}")))?;
    let names: Vec<String> = archive.file_names().filter_map(|name| name.ok().map(|name| name.into_owned())).collect();
    if aff4::is_one(&archive) {
        return aff4::open(source, &mut archive);
    }
    let sizes = (0..archive.len()).filter_map(|index| {
        let file = archive.by_index_raw(index).ok()?;
        let is_other = !file.name().is_ok_and(|name| is_page_file(&name));
        Some((is_other, file.size(), Reverse(index)))
    });
    let largest = sizes.max().map(|(_, size, Reverse(index))| (size, index));
    let Some((size, index)) = largest.filter(|(size, _)| *size > 0) else {
        return Err(Refusal::Unusable(Error::NotAnImage {
            what: "this zip archive holds no file".into(),
            advice: "Name the memory image".into(),
        }));
    };
    let mut warnings = Vec::new();
    if names.len() > 1 {
        let name = |file: zip::read::ZipFile<'_, _>| file.name().map(|name| name.into_owned());
        let raw = archive.by_index_raw(index).and_then(name).unwrap_or_default();
        warnings.push(Warning::new(
            "image",
            format!("of the {} files in the archive, the largest is read: {raw}", names.len()),
        ));
    }
    let file = archive.by_index(index);
    let file = match file {
        Ok(file) => file,
        Err(zip::result::ZipError::UnsupportedArchive(why)) => {
            return Err(Refusal::Unusable(Error::NotAnImage {
                what: format!("what this zip archive holds cannot be unpacked: {why}"),
                advice: "If it is encrypted, unpack it with its password: 7z x FILE".into(),
            }));
        }
        Err(error) => {
            return Err(Refusal::Unusable(Error::NotAnImage {
                what: format!("this zip archive is damaged: {error}"),
                advice: "Copy it again".into(),
            }));
        }
    };
    // Windows packs what is larger than 2 GiB with Deflate64.
    if !matches!(
        file.compression(),
        zip::CompressionMethod::Stored | zip::CompressionMethod::Deflated | zip::CompressionMethod::Deflate64
    ) {
        return Err(Refusal::Unusable(Error::NotAnImage {
            what: format!(
                "what this zip archive holds is packed in a way that is not known here ({})",
                file.compression()
            ),
            advice: "Unpack it first: 7z x FILE".into(),
        }));
    }
    if file.compression() == zip::CompressionMethod::Stored
        && let Some(begin) = file.data_start()
    {
        return Ok(Found::Inside("zip", source.window(begin, size), warnings));
    }
    let (inside, path) = to_cache(source, file, Some(size), opening.options)?;
    Ok(Found::Unpacked { name: "zip", source: inside, path, warnings })
}
