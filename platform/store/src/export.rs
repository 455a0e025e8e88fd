//! Export and import: a store's whole content as a stream, the same for every engine.
//!
//! It is the backup, and the way from one engine to another. It carries keys and values, claims and version stamps;
//! blobs are files and are copied as such.
//!
//! | part | bytes |
//! | --- | --- |
//! | header | `lamplighter-export 1\n` |
//! | each entry, in order of keys | key length (u32, big endian, not 0), key, value length (u32), value |
//! | end | 0 (u32), number of entries (u64), SHA-256 of everything before |

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::ops::ControlFlow;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::engine::{Engine, View, Writes};
use crate::error::{EngineError, StoreError};
use crate::tx::{RESERVED, STAMP_KEY, TxState};
use crate::{Store, claim, limits, tx};

const HEADER: &[u8] = b"lamplighter-export 1\n";
const MAGIC: &[u8] = b"lamplighter-export ";
/// There while an import is under way: whoever finds it at the start throws the part away.
pub(crate) const IMPORT_KEY: &[u8] = &[RESERVED, b'i'];
/// Entries read from the engine, or bytes imported, at a time.
const STEP_ENTRIES: usize = 512;
const STEP_BYTES: usize = limits::TRANSACTION_BYTES / 2;
/// A reserved key is a user's key with two bytes before it.
const LONGEST_KEY: usize = limits::KEY_BYTES + 2;

/// What an export or import was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportSummary {
    /// How many entries, those of the store itself included.
    pub entries: u64,
}

impl Store {
    /// Writes everything that is committed now. Blocks: not for async code.
    ///
    /// # Errors
    /// When the engine cannot read, or `into` cannot be written.
    pub fn export(&self, into: impl Write) -> Result<ExportSummary, StoreError> {
        let view = self.inner.engine.view()?;
        let mut out = Output { out: BufWriter::new(into), hash: Sha256::new() };
        out.write(HEADER)?;
        let (mut entries, mut from) = (0_u64, Vec::new());
        loop {
            let step = step(&*view, &from)?;
            let Some((last, _)) = step.last() else { break };
            from = last.to_vec();
            from.push(0);
            for (key, value) in &step {
                out.entry(key, value)?;
            }
            entries += step.len() as u64;
        }
        out.write(&0_u32.to_be_bytes())?;
        out.write(&entries.to_be_bytes())?;
        out.finish()?;
        Ok(ExportSummary { entries })
    }

    /// Reads what [`Store::export`] wrote into this store, which must be empty. When it fails, or the process ends
    /// before it is done, the store is empty again. Nobody else should use the store meanwhile. Blocks: not for
    /// async code.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`], [`StoreError::BadExport`], [`StoreError::ExportIo`], and as [`Store::transact`].
    pub fn import(&self, from: impl Read) -> Result<ExportSummary, StoreError> {
        if !step(&*self.inner.engine.view()?, &[])?.is_empty() {
            return Err(StoreError::NotEmpty);
        }
        self.run_raw(|tx| tx.write_raw(IMPORT_KEY.to_vec(), Some(Bytes::new())))?;
        let imported = self.import_entries(from);
        if imported.is_err() {
            while self.run_raw(clear_step)? {}
        }
        self.run_raw(|tx| tx.write_raw(IMPORT_KEY.to_vec(), None))?;
        imported
    }

    fn import_entries(&self, from: impl Read) -> Result<ExportSummary, StoreError> {
        let mut input = Input { input: BufReader::new(from), hash: Sha256::new() };
        input.header()?;
        let (mut entries, mut bytes, mut gathered) = (0_u64, 0, Vec::new());
        let mut last = Bytes::new();
        while let Some((key, value)) = input.entry()? {
            if key <= last {
                return Err(bad("its keys are not in order"));
            }
            last = key.clone();
            entries += 1;
            bytes += key.len() + value.len();
            gathered.push((key, value));
            if bytes >= STEP_BYTES {
                self.import_step(std::mem::take(&mut gathered))?;
                bytes = 0;
            }
        }
        let expected = u64::from_be_bytes(input.array()?);
        input.checksum()?;
        if expected != entries {
            return Err(bad("it does not have as many entries as it says"));
        }
        self.import_step(gathered)?;
        Ok(ExportSummary { entries })
    }

    fn import_step(&self, entries: Vec<(Bytes, Bytes)>) -> Result<(), StoreError> {
        self.run_raw(move |tx| {
            for (key, value) in &entries {
                if &**key == STAMP_KEY {
                    tx.set_stamp(tx::counter(value)?.cast_unsigned());
                }
                if key.starts_with(claim::LOCKS.0) {
                    tx.note_claims();
                }
                tx.write_raw(key.to_vec(), Some(value.clone()))?;
            }
            Ok(())
        })
    }
}

/// Removes what an import left that did not come to its end. To be called before anybody uses the store.
pub(crate) fn clear_broken_import(engine: &dyn Engine) -> Result<(), EngineError> {
    if engine.get(IMPORT_KEY)?.is_none() {
        return Ok(());
    }
    loop {
        let step = step(&*engine.view()?, &[])?;
        if step.is_empty() {
            return engine.commit(&Writes::from([(IMPORT_KEY.to_vec(), None)]));
        }
        engine.commit(&step.into_iter().map(|(key, _)| (key.to_vec(), None)).collect())?;
    }
}

/// Some entries from a key on, all but the mark of an import.
fn step(view: &dyn View, from: &[u8]) -> Result<Vec<(Bytes, Bytes)>, EngineError> {
    let mut entries = Vec::new();
    view.scan(from, &[RESERVED, RESERVED], false, &mut |key, value| {
        if &*key != IMPORT_KEY {
            entries.push((key, value));
        }
        if entries.len() < STEP_ENTRIES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(entries)
}

/// Removes some entries; says whether there may be more.
fn clear_step(tx: &mut TxState<'_>) -> Result<bool, crate::TxError> {
    let mut entries = tx.range_raw(&[], &[RESERVED, RESERVED], false, STEP_ENTRIES)?;
    entries.retain(|(key, _)| &**key != IMPORT_KEY);
    for (key, _) in &entries {
        tx.write_raw(key.to_vec(), None)?;
    }
    Ok(!entries.is_empty())
}

fn bad(reason: impl Into<String>) -> StoreError {
    StoreError::BadExport { reason: reason.into() }
}

struct Output<W: Write> {
    out: BufWriter<W>,
    hash: Sha256,
}

impl<W: Write> Output<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hash.update(bytes);
        self.out.write_all(bytes).map_err(StoreError::ExportIo)
    }

    fn entry(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        for part in [key, value] {
            // Limits keep both far below 4 GiB.
            let length = u32::try_from(part.len()).map_err(|error| bad(error.to_string()))?;
            self.write(&length.to_be_bytes())?;
            self.write(part)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), StoreError> {
        let hash = self.hash.finalize();
        self.out.write_all(&hash).and_then(|()| self.out.flush()).map_err(StoreError::ExportIo)
    }
}

struct Input<R: Read> {
    input: BufReader<R>,
    hash: Sha256,
}

impl<R: Read> Input<R> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.input.read_exact(bytes).map_err(cut_short)?;
        self.hash.update(&*bytes);
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn header(&mut self) -> Result<(), StoreError> {
        let mut line = Vec::new();
        (&mut self.input).take(64).read_until(b'\n', &mut line).map_err(StoreError::ExportIo)?;
        self.hash.update(&line);
        if line == HEADER {
            return Ok(());
        }
        match line.strip_prefix(MAGIC) {
            Some(version) => Err(bad(format!(
                "it has format {}, this version reads 1",
                String::from_utf8_lossy(version).trim()
            ))),
            None => Err(bad("it does not begin as an export does")),
        }
    }

    fn entry(&mut self) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let key = self.part(LONGEST_KEY)?;
        if key.is_empty() {
            return Ok(None);
        }
        Ok(Some((key, self.part(limits::VALUE_BYTES)?)))
    }

    fn part(&mut self, most: usize) -> Result<Bytes, StoreError> {
        let length = u32::from_be_bytes(self.array()?) as usize;
        if length > most {
            return Err(bad(format!("a key or value has {length} bytes, more than {most}")));
        }
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes.into())
    }

    /// Compares the hash of all before with what comes now, which must be the end.
    fn checksum(&mut self) -> Result<(), StoreError> {
        let hash = std::mem::take(&mut self.hash).finalize();
        if self.array::<32>()? != hash.as_slice() {
            return Err(bad("its checksum is wrong"));
        }
        match self.input.fill_buf() {
            Ok([]) => Ok(()),
            Ok(_) => Err(bad("there is something after its end")),
            Err(cause) => Err(StoreError::ExportIo(cause)),
        }
    }
}

fn cut_short(cause: io::Error) -> StoreError {
    if cause.kind() == io::ErrorKind::UnexpectedEof {
        bad("it is cut short")
    } else {
        StoreError::ExportIo(cause)
    }
}
