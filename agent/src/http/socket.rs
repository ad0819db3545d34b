//! The agent's unix socket: one agent of a name at a time, and root alone may talk to it.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// Where sockets are.
const FOLDER: &str = "/run/xdhcpd";

/// The socket of the agent of this name.
pub fn path_of(name: &str) -> PathBuf {
    let stem = name.replace('/', "_");
    Path::new(FOLDER).join(format!("{stem}.sock"))
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another agent answers there.
    #[error("{}: another agent of this name is running", .0.display())]
    InUse(PathBuf),
    /// There is something else in its place.
    #[error("{}: is not a socket; it is left as it is", .0.display())]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("{}: cannot listen there: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A socket that is listened on; its file goes with it.
#[derive(Debug)]
pub struct Socket {
    pub(super) listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket, removed when it is dropped, unless somebody has put another in its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl Socket {
    /// Listens at `path`, in place of a socket that a dead agent left there.
    ///
    /// The socket appears under its name by a rename, when nobody but its owner may use it already.
    /// Needs a tokio runtime.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let io = |source| SocketError::Io { path: path.to_path_buf(), source };
        refuse_if_taken(path)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(io)?;
        }
        let draft = path.with_extension(format!("{}.tmp", std::process::id()));
        // Left by a process of our number that was killed in between: nobody listens there.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&draft).map_err(io)?;
        let ready = fs::set_permissions(&draft, Permissions::from_mode(0o600))
            .and_then(|()| inode(&draft))
            .and_then(|inode| fs::rename(&draft, path).map(|()| inode));
        match ready {
            Ok(inode) => Ok(Self { listener, file: SocketFile { path: path.to_path_buf(), inode } }),
            Err(error) => {
                // The error that is reported is the first one.
                let _ = fs::remove_file(&draft);
                Err(io(error))
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.file.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            // Left behind it is found dead, and replaced, by the next agent.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// An error unless there is nothing at `path`, or a socket that nobody listens on.
fn refuse_if_taken(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(SocketError::Io { path: path.to_path_buf(), source }),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(SocketError::NotASocket(path.to_path_buf()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse(path.to_path_buf())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        // Its agent stopped just now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(SocketError::Io { path: path.to_path_buf(), source }),
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|data| (data.dev(), data.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agents/default.sock");
        (folder, path)
    }

    #[tokio::test]
    async fn the_socket_is_its_owners_alone_and_goes_with_the_agent() {
        let (_folder, path) = place();
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_an_agent_listens_on_is_an_error() {
        let (_folder, path) = place();
        let first = Socket::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::InUse(_))));
        assert!(UnixStream::connect(first.path()).is_ok());
    }

    #[tokio::test]
    async fn a_dead_agents_socket_is_replaced() {
        let (_folder, path) = place();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _socket = Socket::bind(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_as_it_is() {
        let (_folder, path) = place();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn another_agents_socket_in_our_place_is_not_removed() {
        let (_folder, path) = place();
        let first = Socket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _second = Socket::bind(&path).unwrap();
        drop(first);
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_name_with_a_slash_stays_in_the_folder() {
        assert_eq!(path_of("default"), Path::new("/run/xdhcpd/default.sock"));
        assert_eq!(path_of("../x"), Path::new("/run/xdhcpd/.._x.sock"));
    }
}
