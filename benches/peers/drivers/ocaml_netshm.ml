(* The library that netshm follows, with record locking. The requests and check sums are those of driver.h. *)

let key_text number = Printf.sprintf "key-%09d" number

let value_text key fresh =
  let value = Bytes.make 100 'x' in
  Bytes.blit_string key 4 value 0 9;
  Bytes.set value 99 key.[12];
  if not fresh then Bytes.set value 0 'R';
  Bytes.unsafe_to_string value

let fold_number value = (value land 0xffffffff) + (value lsr 32)

let fold_text value =
  String.length value + Char.code value.[0] + Char.code value.[8] + Char.code value.[String.length value - 1]

let state = ref 0L

let below bound =
  let open Int64 in
  let mixed word shift factor = mul (logxor word (shift_right_logical word shift)) factor in
  state := add !state 0x9e3779b97f4a7c15L;
  let word = mixed (mixed !state 30 0xbf58476d1ce4e5b9L) 27 0x94d049bb133111ebL in
  to_int (shift_right_logical (logxor word (shift_right_logical word 31)) 33) mod bound

let table directory name key value =
  let file = `File (Filename.concat directory name) in
  let shm = Netshm.open_shm file [ Unix.O_RDWR; Unix.O_CREAT ] 0o600 in
  Netshm_hashtbl.manage key value `Record_locking shm

let replaced = 1 lsl 56

(* One kind of keys and values: its table, how a key and a value are made, and how a value is judged. *)
type ('k, 'v) kind = {
  table : ('k, 'v) Netshm_hashtbl.t;
  key : int -> 'k;
  value : 'k -> bool -> 'v;
  fold : 'v -> int;
  belongs : 'k -> 'v -> bool;
}

let find_opt kind key = try Some (Netshm_hashtbl.find kind.table key) with Not_found -> None

let perform kind increment workload keys latencies =
  let sum part = Array.fold_left (fun sum key -> sum + part key) 0 keys in
  let mixed place key =
    if place mod 20 = 19 then (Netshm_hashtbl.replace kind.table key (kind.value key false); 1)
    else match find_opt kind key with Some value when kind.belongs key value -> 1 | _ -> 0 in
  match workload with
  | "fill" -> sum (fun key -> Netshm_hashtbl.add kind.table key (kind.value key true); 1)
  | "replace" -> sum (fun key -> Netshm_hashtbl.replace kind.table key (kind.value key false); 1)
  | "hit" -> sum (fun key -> match find_opt kind key with Some value -> kind.fold value | None -> 0)
  | "miss" -> sum (fun key -> match find_opt kind key with Some _ -> 0 | None -> 1)
  | "iterate" -> Netshm_hashtbl.fold (fun _ value sum -> sum + kind.fold value) kind.table 0
  | "increment" -> sum (fun key -> increment key; 1)
  | "mix" ->
    let check = ref 0 in
    Array.iteri (fun place key -> check := !check + mixed place key) keys;
    !check
  | "latency" ->
    let check = ref 0 in
    Array.iteri (fun place key ->
        let start = Unix.gettimeofday () in
        check := !check + mixed place key;
        latencies.(place) <- int_of_float ((Unix.gettimeofday () -. start) *. 1e9)) keys;
    !check
  | other -> failwith other

let () =
  let directory = Sys.argv.(1) and entries = int_of_string Sys.argv.(3) in
  let numbers = {
    table = table directory "numbers" Netshm_data.int_manager Netshm_data.int_manager;
    key = Fun.id;
    value = (fun key fresh -> if fresh then key else key lor replaced);
    fold = fold_number;
    belongs = (fun key value -> value land 0xffffffff = key);
  } in
  let texts = {
    table = table directory "texts" Netshm_data.string_manager Netshm_data.string_manager;
    key = key_text;
    value = value_text;
    fold = fold_text;
    belongs = (fun key value -> String.length value = 100 && String.sub value 1 8 = String.sub key 5 8);
  } in
  (* A group reads before it writes, so two can deadlock; the one that is told so tries again. *)
  let add key = Netshm_hashtbl.replace numbers.table key (Netshm_hashtbl.find numbers.table key + (1 lsl 32)) in
  let rec increment key =
    try Netshm.group (Netshm_hashtbl.shm_table numbers.table) add key with Netshm.Deadlock -> increment key in
  let answer kind increment workload operations =
    let number place = match workload with
      | "fill" -> place
      | "miss" -> entries + below entries
      | "increment" -> below (min 1000 entries)
      | "mix" | "latency" -> below (min 100000 entries)
      | _ -> below entries in
    let keys = Array.init operations (fun place -> kind.key (number place)) in
    let latencies = Array.make operations 0 in
    print_endline "ready";
    ignore (input_line stdin);
    let start = Unix.gettimeofday () in
    let check = perform kind increment workload keys latencies in
    let nanoseconds = int_of_float ((Unix.gettimeofday () -. start) *. 1e9) in
    Printf.printf "%d %d" nanoseconds check;
    if workload = "latency" then begin
      Array.sort compare latencies;
      List.iter (fun rank -> Printf.printf " %d" latencies.(int_of_float (float (operations - 1) *. rank)))
        [ 0.5; 0.99; 0.999 ]
    end;
    print_newline () in
  let increments () =
    print_endline "ready";
    ignore (input_line stdin);
    let count key = (Netshm_hashtbl.find numbers.table key lsr 32) land 0xffffff in
    let sum = List.fold_left (fun sum key -> sum + count key) 0 (List.init (min 1000 entries) Fun.id) in
    Printf.printf "1 %d\n%!" sum in
  try
    while true do
      match String.split_on_char ' ' (input_line stdin) with
      | [ workload; data; operations; seed; _ ] ->
        state := Int64.of_string seed;
        let operations = int_of_string operations in
        if workload = "increments" then increments ()
        else if data = "texts" then answer texts ignore workload operations
        else answer numbers increment workload operations
      | _ -> failwith "a request has five words"
    done
  with End_of_file -> ()
