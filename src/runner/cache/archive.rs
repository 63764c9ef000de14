//! Archives of caches: packed from folders, and unpacked into them. Reads and writes files.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::Places;
use crate::runner::task::CacheItem;

/// What archives are called.
pub(super) const ENDING: &str = ".tar.gz";
/// How many times larger than its archive what is unpacked may be.
const MOST_UNPACKED: u64 = 50;

/// Unpacks an archive into the folders of a cache, and nowhere else.
pub(super) fn unpack(path: &Path, cache: &CacheItem, places: &Places) -> io::Result<()> {
    let file = File::open(path)?;
    let most = file
        .metadata()?
        .len()
        .saturating_mul(MOST_UNPACKED)
        .max(1 << 20);
    let mut archive = tar::Archive::new(GzDecoder::new(file).take(most));
    let root = places.caches.join(&cache.name);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        // What would end outside is left out.
        if entry.unpack_in(&root)? {
            open_to_all(&root.join(name))?;
        }
    }
    Ok(())
}

/// Lets the user of the script do with a file what the one who left it could.
fn open_to_all(path: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_symlink() {
        return Ok(());
    }
    let mode = meta.permissions().mode();
    let open = if meta.is_dir() || mode & 0o100 != 0 {
        0o777
    } else {
        0o666
    };
    fs::set_permissions(path, PermissionsExt::from_mode(mode | open))
}

/// Packs the folders of a cache; the size of the archive, or nothing where it would be too large.
pub(super) fn pack(cache: &CacheItem, places: &Places, part: &Path) -> io::Result<Option<u64>> {
    let limited = Limited {
        inner: File::create(part)?,
        left: cache.max_bytes,
        is_full: false,
    };
    let mut builder = tar::Builder::new(GzEncoder::new(limited, Compression::fast()));
    builder.follow_symlinks(false);
    for index in 0..cache.folders {
        let folder = places.folder(cache, index);
        if let Err(error) = builder.append_dir_all(index.to_string(), &folder) {
            if builder.get_ref().get_ref().is_full {
                return Ok(None);
            }
            return Err(error);
        }
    }
    let limited = match builder.into_inner().and_then(GzEncoder::finish) {
        Ok(limited) => limited,
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Ok(None),
        Err(error) => return Err(error),
    };
    limited.inner.sync_all()?;
    Ok(Some(cache.max_bytes - limited.left))
}

/// A file that takes no more than so much.
struct Limited {
    inner: File,
    left: u64,
    is_full: bool,
}

impl Write for Limited {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        let Some(left) = self.left.checked_sub(length) else {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        let written = self.inner.write(part)?;
        self.left = left + (length - u64::try_from(written).unwrap_or(length));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
