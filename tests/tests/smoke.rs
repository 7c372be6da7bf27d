#![allow(missing_docs)]
use netshm::*;
use std::collections::HashMap;

fn fresh(tag: &str) -> Shm {
    let name: ShmName = format!("posix:/smoke-{tag}-{}.XXXXXX", std::process::id()).parse().unwrap();
    let s = Shm::create_unique(&name, 0o600).unwrap();
    s
}

#[test]
fn basic() {
    for l in [Locking::None, Locking::Record, Locking::Futex] {
        let shm = fresh("b");
        let n = shm.name().clone();
        let t: HashTable<String, (i64, String)> = HashTable::manage(shm, l).unwrap();
        t.add("a", &(1, "x".to_owned())).unwrap();
        t.add("a", &(2, "y".to_owned())).unwrap();
        assert_eq!(t.find("a").unwrap(), Some((2, "y".to_owned())));
        assert_eq!(t.find_all("a").unwrap().len(), 2);
        assert!(t.remove("a").unwrap());
        assert_eq!(t.find("a").unwrap(), Some((1, "x".to_owned())));
        assert_eq!(t.len().unwrap(), 1);
        let r: Result<()> = t.group(|| {
            t.replace("a", &(5, "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz".to_owned()))?;
            t.add("b", &(5, "z".to_owned()))?;
            Err(t.handle_err())
        });
        assert!(r.is_err());
        assert_eq!(t.find("a").unwrap(), Some((1, "x".to_owned())));
        assert_eq!(t.len().unwrap(), 1);
        n.unlink().unwrap();
    }
}
trait X {
    fn handle_err(&self) -> Error;
}
impl<T> X for T {
    fn handle_err(&self) -> Error {
        "nonsense".parse::<ShmName>().unwrap_err()
    }
}

#[test]
fn many() {
    for l in [Locking::None, Locking::Record, Locking::Futex] {
        let shm = fresh("m");
        let n = shm.name().clone();
        let t: HashTable<u64, String> = HashTable::options().locking(l).stripes(4).manage(shm).unwrap();
        let mut m: HashMap<u64, Vec<String>> = HashMap::new();
        let mut x = 12345u64;
        for i in 0..60000u64 {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let k = (x >> 33) % 3000;
            let v = "v".repeat(((x >> 20) % if i % 97 == 0 { 20000 } else { 300 }) as usize);
            match (x >> 60) % 8 {
                0 | 1 | 2 => {
                    t.add(&k, &v).unwrap();
                    m.entry(k).or_default().push(v);
                }
                3 | 4 => {
                    t.replace(&k, &v).unwrap();
                    let e = m.entry(k).or_default();
                    e.pop();
                    e.push(v);
                }
                5 | 6 => {
                    let r = t.remove(&k).unwrap();
                    let e = m.entry(k).or_default().pop().is_some();
                    assert_eq!(r, e);
                }
                _ => {
                    let mut e = m.get(&k).cloned().unwrap_or_default();
                    e.reverse();
                    assert_eq!(t.find_all(&k).unwrap(), e);
                }
            }
        }
        assert_eq!(t.len().unwrap() as usize, m.values().map(Vec::len).sum::<usize>());
        let mut c = 0;
        t.for_each(|k, _| {
            c += 1;
            assert!(m.contains_key(&k));
        })
        .unwrap();
        assert_eq!(c, t.len().unwrap());
        let size = t.shm().size().unwrap();
        println!("{l} size {size} entries {c}");
        for k in 0..3000 {
            t.remove_all(&k).unwrap();
        }
        assert_eq!(t.len().unwrap(), 0);
        n.unlink().unwrap();
    }
}

#[test]
fn million() {
    let shm = fresh("mil");
    let n = shm.name().clone();
    let t: HashTable<u64, u64> = HashTable::options().locking(Locking::Futex).manage(shm).unwrap();
    let s = std::time::Instant::now();
    for i in 0..1_000_000u64 {
        t.add(&i, &i).unwrap();
    }
    println!("fill {:?} each", s.elapsed() / 1_000_000);
    println!("bytes/entry {}", t.shm().size().unwrap() as f64 / 1e6);
    let s = std::time::Instant::now();
    let mut x = 1u64;
    for _ in 0..1_000_000u64 {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let k = (x >> 30) % 1_000_000;
        assert_eq!(t.find(&k).unwrap(), Some(k));
    }
    println!("hit {:?}", s.elapsed() / 1_000_000);
    let s = std::time::Instant::now();
    for _ in 0..1_000_000u64 {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let k = (x >> 30) % 1_000_000 + 2_000_000;
        assert_eq!(t.find(&k).unwrap(), None);
    }
    println!("miss {:?}", s.elapsed() / 1_000_000);
    let s = std::time::Instant::now();
    for _ in 0..1_000_000u64 {
        x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let k = (x >> 30) % 1_000_000;
        t.replace(&k, &x).unwrap();
    }
    println!("replace {:?}", s.elapsed() / 1_000_000);
    let s = std::time::Instant::now();
    let mut c = 0;
    t.for_each(|_, _| c += 1).unwrap();
    assert_eq!(c, 1_000_000);
    println!("iterate {:?}", s.elapsed() / 1_000_000);
    n.unlink().unwrap();
}

#[test]
fn arrays() {
    let shm = fresh("arr");
    let n = shm.name().clone();
    let a: Array<i64> = Array::manage(shm, -1, Locking::Futex).unwrap();
    let before = a.shm().size().unwrap();
    a.resize(2_000_000_000).unwrap();
    a.set(1_000_000_000, &7).unwrap();
    assert_eq!(a.get(1_000_000_000).unwrap(), 7);
    assert_eq!(a.get(1_000_000_001).unwrap(), -1);
    println!("before {before} after {}", a.shm().size().unwrap());
    a.resize(1_000_000_000).unwrap();
    a.resize(2_000_000_000).unwrap();
    assert_eq!(a.get(1_000_000_000).unwrap(), -1);
    n.unlink().unwrap();
}
