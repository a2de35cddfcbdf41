//! A small BTF with a few types of a kernel's, for readers that take long over all of them.

use super::reader::{Btf, MAGIC, kind};

impl Btf {
    /// BTF in which the functions and type definitions of these names have the ids that they have here, and in which
    /// there is nothing else: for a reader that builds objects for all types.
    #[must_use]
    pub fn only(&self, names: &[String]) -> Vec<u8> {
        const HEADER_BYTES: u32 = 24;
        let mut types = Vec::new();
        let mut strings = vec![0];
        let mut end = 0;
        for at in self.index.iter().skip(1) {
            let ty = self.type_at(*at as usize);
            let found = ty
                .filter(|ty| [kind::TYPEDEF, kind::FUNC].contains(&ty.kind))
                .and_then(|ty| Some((ty, names.iter().find(|name| self.is_named(ty, name))?)));
            // A forward declaration without a name takes the place of all others.
            let mut words = [0, kind::FWD << 24, 0];
            if let Some((ty, name)) = found {
                words = [
                    u32::try_from(strings.len()).unwrap_or_default(),
                    ty.kind << 24 | ty.vlen as u32,
                    ty.size_or_type,
                ];
                strings.extend_from_slice(name.as_bytes());
                strings.push(0);
            }
            types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
            if found.is_some() {
                end = types.len();
            }
        }
        types.truncate(end);
        let bytes = |part: &[u8]| u32::try_from(part.len()).unwrap_or_default();
        let (types_len, strings_len) = (bytes(&types), bytes(&strings));
        let header = [
            MAGIC | 1 << 16,
            HEADER_BYTES,
            0,
            types_len,
            types_len,
            strings_len,
        ];
        let header = header.iter().flat_map(|word| word.to_ne_bytes());
        header.chain(types).chain(strings).collect()
    }
}
