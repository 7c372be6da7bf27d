//! Redis over a unix socket, with a server of our own. Numbers are decimal, as its INCRBY wants them.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::worker::{Peer, Table};
use crate::workload::{Data, Failure, Numbers, Result, Texts};

/// Number of commands sent before their replies are read, when filling and iterating.
const BATCH: usize = 1000;

/// Databases of the server: one for numbers, one for texts.
const NUMBERS: &str = "0";
const TEXTS: &str = "1";

#[derive(Debug)]
pub(crate) struct Redis {
    numbers: Mutex<Connection>,
    texts: Mutex<Connection>,
    _server: Option<Server>,
}

/// Ends with the worker that started it.
#[derive(Debug)]
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing can be done about a server that will not end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Fails if there is no Redis on this machine.
pub(crate) fn find() -> Result<()> {
    let mut command = Command::new("redis-server");
    let status = command.arg("--version").stdout(Stdio::null()).status();
    status.map(|_| ()).map_err(|error| format!("redis-server: {error}").into())
}

impl Redis {
    pub(crate) fn open(directory: &Path) -> Result<Redis> {
        let socket = directory.join("redis.sock");
        let server = if socket.exists() { None } else { Some(Redis::serve(&socket)?) };
        let deadline = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(&socket).is_err() {
            if Instant::now() > deadline {
                return Err("redis-server does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let connect = |database| Connection::open(&socket, database).map(Mutex::new);
        Ok(Redis { numbers: connect(NUMBERS)?, texts: connect(TEXTS)?, _server: server })
    }

    fn serve(socket: &Path) -> Result<Server> {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"]).arg(socket);
        Ok(Server(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?))
    }
}

#[derive(Debug)]
struct Connection {
    stream: BufReader<UnixStream>,
    out: Vec<u8>,
}

/// Reply of the server.
enum Reply {
    Line(String),
    Text(Option<String>),
    Array(usize),
}

impl Connection {
    fn open(socket: &Path, database: &str) -> Result<Connection> {
        let mut connection = Connection { stream: BufReader::new(UnixStream::connect(socket)?), out: Vec::new() };
        connection.ask(&["SELECT", database])?;
        Ok(connection)
    }

    fn say(&mut self, words: &[&str]) -> Result<()> {
        write!(self.out, "*{}\r\n", words.len())?;
        for word in words {
            write!(self.out, "${}\r\n{word}\r\n", word.len())?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        self.stream.get_mut().write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    fn reply(&mut self) -> Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let rest = line.get(1..).unwrap_or_default().trim_end();
        match line.as_bytes().first() {
            Some(b'+' | b':') => Ok(Reply::Line(rest.to_owned())),
            Some(b'*') => Ok(Reply::Array(rest.parse()?)),
            Some(b'$') if rest == "-1" => Ok(Reply::Text(None)),
            Some(b'$') => {
                let mut bytes = vec![0; rest.parse::<usize>()? + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Ok(Reply::Text(Some(String::from_utf8(bytes)?)))
            }
            _ => Err(format!("Redis says {line:?}").into()),
        }
    }

    fn text(&mut self) -> Result<Option<String>> {
        match self.reply()? {
            Reply::Text(text) => Ok(text),
            Reply::Line(line) => Ok(Some(line)),
            Reply::Array(_) => Err("Redis sends an array unasked".into()),
        }
    }

    fn array(&mut self) -> Result<usize> {
        match self.reply()? {
            Reply::Array(length) => Ok(length),
            _ => Err("Redis owes an array".into()),
        }
    }

    fn ask(&mut self, words: &[&str]) -> Result<Option<String>> {
        self.say(words)?;
        self.send()?;
        self.text()
    }

    fn fill<'p>(&mut self, pairs: impl Iterator<Item = (&'p str, String)>) -> Result<()> {
        let mut pairs = pairs.peekable();
        while pairs.peek().is_some() {
            let mut sent = 0;
            for (key, value) in pairs.by_ref().take(BATCH) {
                self.say(&["SET", key, &value])?;
                sent += 1;
            }
            self.send()?;
            (0..sent).try_for_each(|_| self.text().map(|_| ()))?;
        }
        Ok(())
    }

    /// Returns the keys by SCAN, their values by MGET.
    fn sum(&mut self, part: impl Fn(&str) -> Result<u64>) -> Result<u64> {
        let mut cursor = "0".to_owned();
        let mut sum = 0;
        loop {
            self.say(&["SCAN", &cursor, "COUNT", &BATCH.to_string()])?;
            self.send()?;
            self.array()?;
            cursor = self.text()?.ok_or("no cursor")?;
            let count = self.array()?;
            let keys =
                (0..count).map(|_| self.text()?.ok_or_else(|| Failure::from("no key"))).collect::<Result<Vec<_>>>()?;
            if !keys.is_empty() {
                let words: Vec<&str> = std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect();
                self.say(&words)?;
                self.send()?;
                for _ in 0..self.array()? {
                    sum += part(&self.text()?.ok_or("a key without a value")?)?;
                }
            }
            if cursor == "0" {
                return Ok(sum);
            }
        }
    }
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Table<Numbers> for Redis {
    fn add(&self, key: &u64, value: &u64) -> Result<()> {
        lock(&self.numbers).ask(&["SET", &key.to_string(), &value.to_string()]).map(|_| ())
    }

    fn find<R>(&self, key: &u64, seen: impl FnOnce(Option<&u64>) -> R) -> Result<R> {
        let found = lock(&self.numbers).ask(&["GET", &key.to_string()])?;
        let value: Option<u64> = found.map(|text| text.parse()).transpose()?;
        Ok(seen(value.as_ref()))
    }

    fn replace(&self, key: &u64, value: &u64) -> Result<()> {
        Table::<Numbers>::add(self, key, value)
    }

    fn sum(&self, part: fn(&u64) -> u64) -> Result<u64> {
        lock(&self.numbers).sum(|value| Ok(part(&value.parse()?)))
    }

    fn fill(&self, keys: &Vec<u64>, count: usize) -> Result<()> {
        let words: Vec<String> = keys[..count].iter().map(u64::to_string).collect();
        lock(&self.numbers).fill(words.iter().map(|word| (word.as_str(), word.clone())))
    }
}

impl Table<Texts> for Redis {
    fn add(&self, key: &str, value: &str) -> Result<()> {
        lock(&self.texts).ask(&["SET", key, value]).map(|_| ())
    }

    fn find<R>(&self, key: &str, seen: impl FnOnce(Option<&str>) -> R) -> Result<R> {
        Ok(seen(lock(&self.texts).ask(&["GET", key])?.as_deref()))
    }

    fn replace(&self, key: &str, value: &str) -> Result<()> {
        Table::<Texts>::add(self, key, value)
    }

    fn sum(&self, part: fn(&str) -> u64) -> Result<u64> {
        lock(&self.texts).sum(|value| Ok(part(value)))
    }

    fn fill(&self, keys: &String, count: usize) -> Result<()> {
        let pair = |place| {
            let key = Texts::key(keys, place);
            (key, Texts::with_value(key, false, str::to_owned))
        };
        lock(&self.texts).fill((0..count).map(pair))
    }
}

impl Peer for Redis {
    fn increment(&self, key: u64, by: u64) -> Result<()> {
        lock(&self.numbers).ask(&["INCRBY", &key.to_string(), &by.to_string()]).map(|_| ())
    }

    fn bytes(&self) -> Result<u64> {
        let info = lock(&self.numbers).ask(&["INFO", "memory"])?.ok_or("no INFO")?;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).ok_or("no used_memory in INFO")?;
        Ok(line.trim().parse()?)
    }
}
