//! `examples/histogram` as its users run it.

use std::process::Command;

/// Runs the example; its output, if it succeeded.
fn histogram(arguments: &[&str]) -> String {
    let output = Command::new(crate::example_common::program("histogram")).args(arguments).output().unwrap();
    let (text, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{}\n{text}{errors}", output.status);
    text
}

/// Returns the points that each worker says it has drawn.
fn points_by_worker(text: &str) -> Vec<u64> {
    let last = |line: &str| line.rsplit(' ').nth(1).unwrap().replace(',', "").parse().unwrap();
    text.lines().filter(|line| line.starts_with("worker ")).map(last).collect()
}

#[test]
fn the_workers_together_draw_all_points_and_find_pi() {
    let text = histogram(&["--workers", "3", "--points", "400000"]);
    assert_eq!(points_by_worker(&text).iter().sum::<u64>(), 400_000, "{text}");
    let (_, result) = text.split_once("together: pi is about ").unwrap();
    let pi: f64 = result[..8].parse().unwrap();
    assert!((pi - std::f64::consts::PI).abs() < 0.02, "{text}");
    assert!(text.contains("checked: the sums and all bins equal those of a single process"), "{text}");
}

/// Each point in the circle, pi/4 of all, gives two values.
#[test]
fn the_histogram_holds_all_values() {
    let text = histogram(&["--workers", "2", "--points", "100000"]);
    let bins = text.lines().filter_map(|line| line.split_once(" to ")?.1.split_whitespace().nth(1));
    let values: u64 = bins.map(|count| count.replace(',', "").parse::<u64>().unwrap()).sum();
    let (_, result) = text.split_once("together: pi is about ").unwrap();
    let pi: f64 = result[..8].parse().unwrap();
    assert_eq!(values, (pi * 100_000.0 / 2.0).round() as u64, "{text}");
}

#[test]
fn nothing_stays_behind_in_shared_memory() {
    let mut child = Command::new(crate::example_common::program("histogram"));
    let mut child = child.args(["--points", "40000"]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let name = format!("histogram.{}.", child.id());
    assert!(child.wait().unwrap().success());
    let left: Vec<_> = std::fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|left| left.to_string_lossy().contains(&name)), "{left:?}");
}
