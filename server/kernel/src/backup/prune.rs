//! Removing former backups, and the objects that only they name.

use super::there::{Hash, List, digits};
use super::transfer::Sink;
use super::{BackupError, Manifest, Name, Target, Tell};

/// Longest list of objects that is read: of four million.
const MAX_LIST: u64 = 512 << 20;

impl Target {
    /// Removes what killed backups left, and all but the newest `keep` whole ones. `newest` was just made: nothing is removed before a
    /// newer one is whole. Answers how many whole ones were removed.
    pub(super) async fn prune(&self, newest: &Name, keep: Option<usize>) -> Result<usize, BackupError> {
        let (mut whole, mut removed) = (Vec::new(), false);
        for name in self.names().await? {
            match self.manifest(&name).await {
                Ok(Some(manifest)) => whole.push(manifest),
                // Only one backup at a time is under way, and it is this one.
                Ok(None) => {
                    self.remove(&name).await?;
                    removed = true;
                }
                // What cannot be read names objects that are not known: nothing of them may go.
                Err(error) => return Err(error),
            }
        }
        // Even where the clock was set back since the others.
        whole.sort_by_key(|manifest| (manifest.name == *newest, manifest.name.clone()));
        let keep = keep.unwrap_or(usize::MAX).max(1);
        let surplus = whole.len().saturating_sub(keep);
        let old: Vec<Manifest> = whole.drain(..surplus).collect();
        for manifest in &old {
            self.remove(&manifest.name).await?;
            tracing::info!(backup = %manifest.name, "removed a former backup");
        }
        if removed || !old.is_empty() {
            self.remove_unnamed(&whole).await?;
        }
        Ok(old.len())
    }

    /// Removes the objects that none of these names.
    async fn remove_unnamed(&self, kept: &[Manifest]) -> Result<(), BackupError> {
        let mut named: Vec<Hash> = Vec::new();
        for manifest in kept {
            named.extend(self.read_list(manifest).await?.there.iter().map(|(hash, _)| *hash));
            named.sort_unstable();
            named.dedup();
        }
        for (hash, _) in self.there().await?.iter() {
            if named.binary_search(hash).is_err() {
                let unused = async { Ok::<_, crate::objects::ObjectError>(false) };
                let removed = self.objects().remove_unless(&digits(hash), unused).await;
                removed.map_err(|error| self.failed(error))?;
            }
        }
        Ok(())
    }

    /// The objects that a backup names.
    pub(super) async fn read_list(&self, manifest: &Manifest) -> Result<List, BackupError> {
        let damaged =
            |what: &str| BackupError::Damaged { name: manifest.name.to_string(), what: what.to_owned() };
        if manifest.objects.list.bytes > MAX_LIST {
            return Err(damaged("its list of objects is longer than any"));
        }
        let mut text = Vec::new();
        self.fetch(&manifest.name, &manifest.objects.list, Sink::Memory(&mut text), &Tell::nobody()).await?;
        let list = str::from_utf8(&text).ok().and_then(List::of_text);
        let list = list.ok_or_else(|| damaged("its list of objects cannot be read"))?;
        if list.sums() != (manifest.objects.count, manifest.objects.bytes) {
            return Err(damaged("its list of objects is not the one that its manifest tells of"));
        }
        Ok(list)
    }
}
