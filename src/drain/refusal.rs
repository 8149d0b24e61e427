//! Why a partition is not drained: losses that must be loud (design D8), each with the commands that fix it.

use super::names::ChainId;

/// The way on that begins new chains beside the old ones. The command waits by itself until the newest file is old enough.
const WAY_ON: &str = "stop every drain of it, then `weir drain --once --new-generation` (which waits until 15 min after the newest file, if it has to)";

/// The drain stopped one partition before it wrote anything wrong; the others go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The source's first offset is past the chain's head.
    #[error(
        "{chain}: the stored rows end before offset {head}, but the source begins at {start}: the rows in between are gone \
         (retention, or records deleted by hand). Nothing was written. Look with `weir verify`; to accept the gap and go on \
         at {start}: {}",
        WAY_ON
    )]
    Lost { chain: Name, head: u64, start: u64 },

    /// The chain reaches further than the source.
    #[error(
        "{chain}: the stored rows reach offset {head}, but the source ends at {end}: the topic was made again, or the broker lost \
         records. Nothing was written. Restore the topic, or take what it holds now as a new start: {}",
        WAY_ON
    )]
    Beyond { chain: Name, head: u64, end: u64 },

    /// The origin document or the footers were written for another topic or log of this name.
    #[error(
        "{chain}: the files belong to topic id {stored}, the source says {here}: it was deleted and made again. Nothing was \
         written. To keep the old files and start a new chain beside them: {}",
        WAY_ON
    )]
    OtherTopic { chain: Name, stored: String, here: String },

    /// The last stored record is not the one that the source holds at that offset.
    #[error(
        "{chain}: the last record of `{key}` (before offset {head}) is not the record that the source holds there: the topic was \
         made again, or a data_dir was copied or restored from an older state. Nothing was written. If a copy of this data_dir is in use: stop it \
         for good, or give it a new, empty data_dir. Then take the source as it is, rows that are stored already are left out: {}",
        WAY_ON
    )]
    OtherRecord { chain: Name, key: String, head: u64 },

    /// A file holds more of a log than the log ever had: a copy of it is at work elsewhere, or was.
    #[error(
        "{chain}: `{key}` reaches row {head}, which this log never had: the data_dir was copied, and its copy stores here too, or it was \
         restored from an older state. Nothing was written. If a copy of this data_dir is in use: stop it for good, or give it a new, empty \
         data_dir. Then go on with this log, rows that are stored already are left out: {}",
        WAY_ON
    )]
    Longer { chain: Name, key: String, head: u64 },

    /// Something was stored and acknowledged before, and its file is not there any more.
    #[error(
        "{chain}: rows before offset {hint} were stored here once, but the newest file ends at {head}: files were deleted or moved \
         (a lifecycle rule, or by hand). Nothing was written. Put them back, or look with `weir verify`; to go on without them: \
         {}",
        WAY_ON
    )]
    HeadMissing { chain: Name, head: u64, hint: u64 },

    /// Rows were stored before, and the document that says where the chain starts is gone.
    #[error(
        "`{key}` is missing, although rows before offset {hint} were stored in this place once: was the folder emptied, or does \
         `store.to` point elsewhere? Nothing was written. Put the files back, or start anew: {}",
        WAY_ON
    )]
    OriginMissing { key: String, hint: u64 },

    /// The document that says where the chain starts is gone while the chain is drained.
    #[error(
        "`{key}` is gone: was the folder emptied or unmounted while rows were stored? Nothing was written. Put the files back, and \
         the drain goes on by itself; or start anew: {}",
        WAY_ON
    )]
    OriginGone { key: String },

    /// A file stands under our key and is not of our chain.
    #[error(
        "`{key}` is not what its name says ({why}). Nothing was written. Look with `weir verify`, move the file out of the table, \
         and the drain goes on by itself"
    )]
    Strange { key: String, why: String },
}

/// A chain as messages name it: who shows one says of which table it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(ChainId);

impl From<&ChainId> for Name {
    fn from(chain: &ChainId) -> Name {
        Name(chain.clone())
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ChainId { origin, generation, partition, .. } = &self.0;
        write!(f, "{origin}.g{generation:02}-p{partition:04}")
    }
}
