//! The format once more, written from docs/library-file.md and not from the code: what the code writes is compared
//! with it, and files that no release writes are made with it.

use midstreamer::kernels::dtw::Metric;
use midstreamer::kernels::normalize::Normalize;
use midstreamer::search::library::file::Saved;

/// CRC-32 as in ISO 3309 and zlib, bit by bit.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// The fields of a file, any of which may be made wrong; the checksums are right in any case.
#[derive(Clone)]
pub(super) struct Layout {
    pub(super) version: u32,
    /// Where not the true one.
    pub(super) header_bytes: Option<u32>,
    pub(super) required: u32,
    pub(super) optional: u32,
    /// Metric, normalisation, whether there is a window, reserved.
    pub(super) codes: [u8; 4],
    /// Where not the true one.
    pub(super) file_bytes: Option<u64>,
    pub(super) patterns: u64,
    pub(super) length: u64,
    pub(super) channels: u64,
    pub(super) window: u64,
    pub(super) id_bytes: u64,
    pub(super) meta_bytes: u64,
    /// Fields that a later writer appended.
    pub(super) more_header: Vec<u8>,
    /// Ids, meta and values, without checksums.
    pub(super) body: Vec<u8>,
}

impl Layout {
    /// What a writer has to write.
    pub(super) fn of(saved: &Saved) -> Self {
        let (mut ids, mut meta) = (Vec::new(), Vec::new());
        for id in &saved.ids {
            ids.extend((id.len() as u32).to_le_bytes());
            ids.extend(id.as_bytes());
        }
        for text in &saved.meta {
            match text {
                Some(text) => {
                    meta.extend((text.len() as u32).to_le_bytes());
                    meta.extend(text.as_bytes());
                }
                None => meta.extend([0xff; 4]),
            }
        }
        let (id_bytes, meta_bytes) = (ids.len() as u64, meta.len() as u64);
        let values = saved.values.iter().flat_map(|value| value.to_bits().to_le_bytes());
        Self {
            version: 1,
            header_bytes: None,
            required: 0,
            optional: 0,
            codes: [
                match saved.metric {
                    Metric::Absolute => 0,
                    Metric::Squared => 1,
                    Metric::Euclidean => 2,
                },
                match saved.normalize {
                    Normalize::None => 0,
                    Normalize::Zscore => 1,
                    Normalize::Minmax => 2,
                },
                u8::from(saved.window.is_some()),
                0,
            ],
            file_bytes: None,
            patterns: saved.ids.len() as u64,
            length: saved.length as u64,
            channels: saved.channels as u64,
            window: saved.window.unwrap_or(0) as u64,
            id_bytes,
            meta_bytes,
            more_header: Vec::new(),
            body: ids.into_iter().chain(meta).chain(values).collect(),
        }
    }

    /// How long the header says that the file is; `None` where it overflows.
    pub(super) fn told_bytes(&self) -> Option<u64> {
        let values = self.patterns.checked_mul(self.length)?.checked_mul(self.channels)?.checked_mul(8)?;
        let body = self.id_bytes.checked_add(self.meta_bytes)?.checked_add(values)?;
        body.checked_add(body.div_ceil(4096).checked_mul(4)?)?
            .checked_add(92 + self.more_header.len() as u64 + 12)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let header_bytes = 92 + self.more_header.len();
        let file_bytes = header_bytes + self.body.len() + self.body.len().div_ceil(4096) * 4 + 12;

        let mut bytes = vec![0x89, 0x4d, 0x53, 0x50, 0x4c, 0x0d, 0x0a, 0x1a];
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.header_bytes.unwrap_or(header_bytes as u32).to_le_bytes());
        bytes.extend(self.required.to_le_bytes());
        bytes.extend(self.optional.to_le_bytes());
        bytes.extend(crc32(&bytes).to_le_bytes());
        bytes.extend(self.codes);
        bytes.extend(self.file_bytes.unwrap_or(file_bytes as u64).to_le_bytes());
        for field in [self.patterns, self.length, self.channels, self.window, self.id_bytes, self.meta_bytes]
        {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(&self.more_header);
        let mut checksum = crc32(&bytes).to_le_bytes();
        bytes.extend(checksum);
        for block in self.body.chunks(4096).chain([&b"MSPL-END"[..]]) {
            checksum = crc32(&[&checksum, block].concat()).to_le_bytes();
            bytes.extend(block);
            bytes.extend(checksum);
        }
        bytes
    }
}

/// Makes the checksums of damaged bytes right again, as far as the bytes still have the shape of a file: what a
/// decoder meets when somebody wants to harm it.
pub(super) fn reseal(bytes: &mut [u8]) {
    let put = |bytes: &mut [u8], at: usize, checksum: u32| {
        if let Some(place) = bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&checksum.to_le_bytes());
        }
    };
    if bytes.len() < 92 {
        return;
    }
    put(bytes, 24, crc32(&bytes[..24]));
    let header = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    if !(92..=bytes.len()).contains(&header) {
        return;
    }
    // The size too: else hardly any change of the lengths would come further.
    let size = bytes.len() as u64;
    bytes[32..40].copy_from_slice(&size.to_le_bytes());
    let mut checksum = crc32(&bytes[..header - 4]);
    put(bytes, header - 4, checksum);
    let end = bytes.len().saturating_sub(12);
    let mut at = header;
    while at < bytes.len() {
        let length = if at < end { (end - at).min(4100).saturating_sub(4) } else { 8 };
        let Some(block) = bytes.get(at..at + length) else { return };
        checksum = crc32(&[&checksum.to_le_bytes(), block].concat());
        put(bytes, at + length, checksum);
        at += length + 4;
    }
}
