//! The pages that the browser shows.

use html_escape::encode_text;

use crate::store::{Present, Session};

pub(crate) fn sign_in() -> String {
    page(
        "Who are you?",
        r#"<form method="post" action="/sign-in">
<label for="name">Your name</label>
<input id="name" name="name" required maxlength="60" autocomplete="name" autofocus>
<button>Sign in</button>
</form>"#,
    )
}

/// Shows the events that `live.rs` sends.
pub(crate) const LIVE_JS: &str = r#"const element = id => document.getElementById(id);
let lost;

function show(event) {
  const [count, ...names] = event.data.split("\n");
  element("count").textContent = count;
  element("names").replaceChildren(...names.map(name => {
    const item = document.createElement("li");
    item.textContent = name;
    return item;
  }));
  element("more").textContent = count > names.length ? `and ${count - names.length} more` : "";
}

function listen() {
  const events = new EventSource("/live");
  events.onmessage = show;
  events.onopen = () => {
    clearTimeout(lost);
    lost = undefined;
    element("lost").hidden = true;
  };
  events.onerror = () => {
    // Where another worker takes over at once, nobody need know.
    lost ??= setTimeout(() => element("lost").hidden = false, 1500);
    // The browser tries again by itself, but not after an answer that is none, as from a worker that tells too many pages already.
    if (events.readyState === EventSource.CLOSED) {
      setTimeout(listen, 3000);
    }
  };
  // Here or in another window, or by the server.
  events.addEventListener("signed-out", () => {
    events.close();
    location.reload();
  });
}

listen();
"#;

pub(crate) fn session(session: &Session, all: u64, present: &Present, worker: u32) -> String {
    let names: String = present.names.iter().map(|name| format!("<li>{}</li>", encode_text(name))).collect();
    let more = match present.count - present.names.len() {
        0 => String::new(),
        more => format!("and {more} more"),
    };
    page(
        &format!("Hello, {}", session.name),
        &format!(
            r#"<p>This is visit number <b id="visits">{}</b> of yours, and number <b id="all">{all}</b> of all.</p>
<p class="quiet">Answered by worker <b id="worker">{worker}</b>. Kill it, and the next page comes from another one that
knows you as well.</p>
<form class="row" method="get" action="/"><button>Visit again</button></form>
<form class="row" method="post" action="/sign-out"><button class="plain">Sign out</button></form>
<h2>Signed in now: <b id="count">{}</b></h2>
<ul id="names" aria-live="polite">{names}</ul>
<p class="quiet" id="more">{more}</p>
<p id="lost" role="status" hidden>The connection is lost; trying again.</p>
<script src="/live.js" defer></script>"#,
            session.visits, present.count
        ),
    )
}

pub(crate) fn message(title: &str, text: &str) -> String {
    page(title, &format!("<p>{}</p>\n<p><a href=\"/\">Back</a></p>", encode_text(text)))
}

/// Returns a page around `body`, which is HTML already; the title is escaped here.
fn page(title: &str, body: &str) -> String {
    let title = encode_text(title);
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"#
    )
}

const STYLE: &str = "
:root { color-scheme: light dark; --paper: #fff; --ground: #eef1f5; --ink: #1d2733; --quiet: #5b6876; --accent: #1c6dd0; --warning: #9a4a00; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #1b2129; --ground: #11151a; --ink: #e6eaf0; --quiet: #98a4b3; --accent: #6aa9f4;
    --warning: #f0b060; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  background: var(--ground); color: var(--ink); font: 1.05rem/1.5 system-ui, sans-serif; }
main { width: 100%; max-width: 26rem; padding: 2rem; border-radius: 1rem; background: var(--paper);
  box-shadow: 0 .5rem 2rem rgb(0 0 0 / .12); }
h1 { margin: 0 0 1rem; font-size: 1.6rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 1.5rem 0 .5rem; font-size: 1.05rem; }
ul { margin: 0; padding-left: 1.2rem; max-height: 12rem; overflow: auto; overflow-wrap: anywhere; }
label { display: block; color: var(--quiet); }
input { width: 100%; margin: .25rem 0 1rem; padding: .6rem .8rem; font: inherit; color: inherit;
  background: var(--ground); border: 1px solid var(--quiet); border-radius: .5rem; }
button { padding: .6rem 1.2rem; font: inherit; font-weight: 600; cursor: pointer; border-radius: .5rem;
  border: 1px solid var(--accent); background: var(--accent); color: var(--paper); }
button.plain { background: none; color: var(--accent); }
a { color: var(--accent); }
@media (max-width: 26rem) { main { padding: 1.25rem; } }
.quiet { color: var(--quiet); }
#more { margin: .25rem 0 0; }
#more:empty { display: none; }
#lost { margin: 1rem 0 0; padding: .5rem .8rem; border: 1px solid var(--warning); border-radius: .5rem; color: var(--warning); }
.row { display: inline-block; margin: .5rem .5rem 0 0; }
";
