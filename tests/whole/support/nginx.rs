//! nginx, as most web seeds run it.

use super::clients::Process;
use super::until;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

/// The program, which is not on every user's path.
pub(crate) const NGINX: &str = "/usr/sbin/nginx";

/// A running server. Dropped, it is killed.
pub(crate) struct Nginx {
    process: Process,
}

impl Nginx {
    /// Starts it with `servers`, the `server { ... }` blocks of its configuration, one of which
    /// listens on `address`. `home` is an empty folder.
    pub(crate) fn start(home: &Path, address: &str, servers: &str) -> Self {
        let config = format!(
            "daemon off; master_process off; worker_processes 1; user root;\n\
             pid {home}/pid; error_log stderr;\n\
             events {{ worker_connections 64; }}\n\
             http {{ access_log {home}/access; sendfile on; keepalive_timeout 5;\n\
             client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; fastcgi_temp_path {home}/t3;\n\
             uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5;\n{servers}\n}}\n",
            home = home.display(),
        );
        let path = home.join("nginx.conf");
        fs::write(&path, config).unwrap();
        let mut command = Command::new(NGINX);
        command.arg("-p").arg(home).arg("-c").arg(&path);
        let process = Process::start(&mut command, &home.join("log"));
        let listens = until(|| TcpStream::connect(address).is_ok());
        assert!(listens, "nginx: {}", process.log());
        Self { process }
    }

    /// The requests that it has served, a line each.
    pub(crate) fn requests(self, home: &Path) -> String {
        self.process.stop();
        fs::read_to_string(home.join("access")).unwrap_or_default()
    }
}
