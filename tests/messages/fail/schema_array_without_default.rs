use netshm::{Array, ShmData, ShmSchema};

#[derive(ShmData)]
enum Light {
    Red,
    Green,
}

#[derive(ShmSchema)]
#[shm(prefix = "/myapp")]
struct AppState {
    #[shm(len = 4)]
    lights: Array<Light>,
    #[shm(default = "red")]
    names: Array<String>,
    #[shm(init = "many")]
    counters: Array<u64>,
}

fn main() {
    let _ = AppState::open_or_create();
}
