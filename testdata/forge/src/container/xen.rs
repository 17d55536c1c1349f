//! A machine that Xen saved. Layout: `libxl-migration-stream.pandoc` and `libxc-migration-stream.pandoc` of Xen.

use crate::forge::Forged;

fn record(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(body);
    out.resize(out.len().next_multiple_of(8), 0);
}

impl Forged {
    /// The file as `xl save` writes it; every seventh page was saved before with other bytes.
    #[must_use]
    pub fn as_xen_save(&self) -> Vec<u8> {
        let mut out = b"Xen saved domain, xl format\n \0 \r".to_vec();
        out.resize(32, 0);
        let about = b"name=\"guest\"\nbuilder=\"hvm\"\n\0\0\0\0\0";
        for number in [0x0102_0304u32, 0, 1, about.len() as u32] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(about);
        out.extend_from_slice(b"LibxlFmt\0\0\0\x02\0\0\0\0");
        // The stream of libxc follows at once, and has no length.
        out.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
        let start = out.len();
        out.extend_from_slice(&[0xff; 8]);
        out.extend_from_slice(b"XENF\0\0\0\x03\0\0\0\0\0\0\0\0");
        for number in [2u32, 12, 4, 17] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let mut inner = Vec::new();
        record(&mut inner, 0x11, &[]);
        let pages: Vec<(u64, &[u8; 4096])> = self.truth.runs.iter().flat_map(|run| self.pages(run)).collect();
        let stale: Vec<(u64, &[u8; 4096])> =
            pages.iter().filter(|(frame, _)| frame % 7 == 0).map(|(frame, _)| (*frame, &[0xc3; 4096])).collect();
        for batch in stale.chunks(300).chain(pages.chunks(1024)) {
            let mut body = (batch.len() as u32 + 2).to_le_bytes().to_vec();
            body.extend_from_slice(&[0; 4]);
            // A page that is not there, before and behind.
            body.extend_from_slice(&(0xf << 60 | 0xf_fff0u64).to_le_bytes());
            body.extend(batch.iter().flat_map(|(frame, _)| frame.to_le_bytes()));
            body.extend_from_slice(&(0xe << 60 | 0xf_fff1u64).to_le_bytes());
            body.extend(batch.iter().flat_map(|(_, page)| page.iter().copied()));
            record(&mut inner, 1, &body);
        }
        // The guest's state, and the end.
        record(&mut inner, 0x9, &[0x77; 1001]);
        record(&mut inner, 0, &[]);
        assert!(start.is_multiple_of(4));
        out.extend(inner);
        out.extend_from_slice(&[0; 8]);
        out
    }
}
