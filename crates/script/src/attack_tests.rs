//! Scripts that try to take more than their share, or to leave their room: each ends within its budget, with its line.

use crate::{Address, Envelope, Limits, Script, Trouble};
use std::time::{Duration, Instant};

const ADDRESS: Address<'static> = Address { text: "joe+x@sub.example", user: "joe", domain: Some("sub.example"), detail: Some("x") };
/// Far above what any of them takes, so that a slow machine does not fail the test; a script that is not stopped takes hours.
const PATIENCE: Duration = Duration::from_secs(60);

fn limits() -> Limits {
    // The bounds of work are to hold, not the clock behind them.
    Limits { instructions: 1_000_000, memory: 16 << 20, time: Duration::from_secs(50) }
}

/// Runs the body as `route`, whose first line is line 2.
fn run(body: &str) -> Result<String, Trouble> {
    let text = format!("function route(address, envelope)\n{body}\nend\n");
    let mut script = Script::load("router.lua", &text, limits()).map_err(Trouble::Fault)?;
    let result = script.route(ADDRESS, Envelope::default(), &mut ());
    // Whatever happened: the machine goes on, and says the same.
    assert_eq!(script.route(ADDRESS, Envelope::default(), &mut ()), result, "{body}");
    result.map(|route| format!("{route:?}"))
}

fn ends(body: &str, line: usize, said: &str) {
    let began = Instant::now();
    let trouble = run(body).expect_err(body);
    let text = trouble.to_string();
    let shown: String = body.chars().take(200).collect();
    assert!(text.starts_with(&format!("router.lua:{line}: ")), "{shown}\n{text}");
    assert!(text.contains(said), "{shown}\n{text}");
    assert!(!text.contains("0x") && text.len() < 500, "{text}");
    assert!(began.elapsed() < PATIENCE, "{shown}: {:?}", began.elapsed());
}

#[test]
fn work_without_end() {
    let over = "more than 1000000 instructions";
    ends("while true do end", 2, over);
    ends("local i = 0\nrepeat i = i + 1 until false", 3, over);
    ends("::again::\ngoto again", 3, over);
    ends("for i = 1, 1e15 do end", 2, over);
    ends("for i = 1, math.maxinteger do end", 2, over);
    ends("for i = 0, 1, 0.0000000001 do end", 2, over);
    ends("local function f() return f() end\nf()", 2, over);
    ends("local t = {}\nfor i = 1, 1e9 do t[i % 10] = i end", 3, over);
    ends("local t = {}\nfor i = 1, 1000 do t[i] = i end\nwhile true do for k in pairs(t) do end end", 4, over);
    ends("local x = ''\nwhile true do x = address.text:upper() end", 3, over);
}

#[test]
fn recursion() {
    ends("local function f(n) return 1 + f(n + 1) end\nreturn f(1)", 2, "");
    ends("local function f(...) return f(1, ...) .. '' end\nreturn f()", 2, "");
    ends("local t = {3, 2, 1}\nlocal function f() table.sort(t, f) return true end\nf()", 3, "");
    let nested = format!("return {}1{}", "(".repeat(10_000), ")".repeat(10_000));
    ends(&nested, 2, "");
    ends(&format!("local t = {}{}", "{".repeat(100_000), "}".repeat(100_000)), 2, "");
}

#[test]
fn memory() {
    ends("local s = 'x'\nwhile true do s = s .. s end", 3, "not enough memory");
    ends("local s = 'x'\nfor i = 1, 60 do\n  s = s .. s\nend", 4, "not enough memory");
    ends("local t = {}\nwhile true do t = {t, t, {}, {}} end", 3, "");
    ends("local t, s = {}, ('x'):rep(100000)\nfor i = 1, 1e6 do\nt[i] = s .. i\nend", 4, "not enough memory");
    ends("local t = {}\nfor i = 1, 1e9 do t[i] = {i, i, i, i, i, i, i, i} end", 3, "");
    ends("local t = {}\nfor i = 1, 1e9 do t[i] = function() return i end end", 3, "");
    ends("local s = ('x'):rep(1000000)\nlocal t = {}\nfor i = 1, 100 do t[i] = s end\nreturn table.concat(t)", 5, "not enough memory");
}

#[test]
fn library_functions_pay_before_they_work() {
    let over = "more than 1000000 instructions";
    ends("local s = ('x'):rep(1000000)\nwhile true do local y = s:upper() end", 3, over);
    ends("local s = ('x'):rep(1000000)\nwhile true do local y = s:sub(1, -2) end", 3, over);
    ends("local s = ('x'):rep(1000000)\nwhile true do s:find('y') end", 3, over);
    ends("local s = ('x'):rep(1000000)\nwhile true do local y = string.format('%s', s) end", 3, "");
    // In C from its beginning to its end: a comparison of two of these takes longer than all that is allowed.
    ends("local s, t = ('x'):rep(1000000), {}\nfor i = 1, 5000 do t[i] = s end\ntable.sort(t)", 4, over);
    ends("return ('x'):rep(1e9)", 2, "rep: more than");
    ends("return ('x'):rep(math.maxinteger)", 2, "rep: more than");
    ends("return (''):rep(1e15)", 2, "rep: more than");
    ends("return ('x'):rep(1000, ('y'):rep(100000))", 2, "rep: more than");
    ends("local t = {}\nfor i = 1, 50000 do t[i] = i end\nwhile true do table.insert(t, 1, 0) end", 4, over);
    ends("local t = {}\nfor i = 1, 30000 do t[i] = -i end\nwhile true do table.sort(t) end", 4, over);
    ends("return table.unpack({}, 1, 1e15)", 2, "unpack: more than");
    ends("return table.unpack({}, math.mininteger, math.maxinteger)", 2, "");
    ends("local s = ('a,'):rep(100000)\nwhile true do s:split(',') end", 3, over);
    ends("local s = ('a'):rep(100000)\nreturn s:replace('a', s)", 3, "");
    ends("return string.format('%' .. ('9'):rep(100000) .. 'd', 1)", 2, "");
    ends("return string.format('%99999999d', 1)", 2, "invalid conversion");
    ends("return table.concat({}, 'x', 1, 1e15)", 2, "");
}

#[test]
fn expressions_take_time_in_proportion() {
    let over = "more than 1000000 instructions";
    assert_eq!(run("local s = ('a'):rep(100000)\nreturn s:match('(a*)*(a*)*(a*)*b')").unwrap(), "None");
    ends("local s = ('a'):rep(30) .. '!'\nwhile true do s:match('^(a+)+$') end", 3, over);
    ends("return ('x'):match('(((a{50}){50}){50}){50}')", 2, "too large");
    ends("return ('x'):match(('('):rep(1000))", 2, "match: ");
    ends("return ('x'):match(('x'):rep(5000))", 2, "longer than");
    ends("local n = 0\nwhile true do n = n + 1\nmatch('x', 'y' .. n) end", 4, over);
    ends("return ('x'):match('(')", 2, "match: ");
}

#[test]
fn what_could_hide_an_end_is_not_there() {
    for name in [
        "pcall",
        "xpcall",
        "coroutine",
        "setmetatable",
        "getmetatable",
        "load",
        "loadstring",
        "loadfile",
        "dofile",
        "require",
        "io",
        "os",
        "debug",
        "package",
        "collectgarbage",
        "rawset",
        "rawget",
        "rawequal",
        "rawlen",
        "next",
        "print",
        "warn",
        "_G",
        "utf8",
        "module",
    ] {
        ends(&format!("local x = 1\nreturn {name}"), 3, "is not defined here");
    }
    for name in ["gmatch", "gsub", "dump", "pack", "unpack"] {
        ends(&format!("return ('x'):{name}()"), 2, "");
        ends(&format!("return string.{name}()"), 2, "");
    }
    ends("return math.random()", 2, "");
    ends("return table.move({}, 1, 10, 1)", 2, "");
    ends("string.upper = nil", 2, "the library cannot be changed");
    ends("math.x = 1", 2, "the library cannot be changed");
}

#[test]
fn errors_have_a_line_whatever_they_are() {
    ends("error({})", 2, "a table");
    ends("error(nil)", 2, "");
    ends("error(function() end)", 2, "a function");
    ends("return error('of mine')", 2, "of mine");
    ends("error('two\\nlines\\0', 2)", 2, "two lines");
    ends("error(('x'):rep(100000))", 2, "xxx");
    ends("local a = 1\nassert(false)", 3, "assertion failed");
    ends("assert(nil, {})", 2, "table");
    ends("\nlocal x = nil\nreturn x.y", 4, "attempt to index");
    ends("return 1 + {}", 2, "arithmetic");
    ends("return '1' + 1", 2, "arithmetic");
    ends("return address .. 'x'", 2, "concatenate");
    ends("return 1 // 0", 2, "");
    ends("return 2^53 | 1.5", 2, "");
    ends("for i = 1, 10, 0 do end", 2, "step");
    ends("address.text()", 2, "call");
    ends("return string.char(-1)", 2, "");
    ends("return ('x'):rep({})", 2, "number expected");
    ends("table.sort({1, 'x', {}})", 2, "compare");
    ends("table.sort({5, 3, 1, 4, 2, 9, 7, 8, 6, 5, 3, 1, 4, 2, 9, 7, 8, 6}, function() return true end)", 2, "invalid order function");
    ends("local f = string.format\nreturn f('%d', 'x')", 3, "number expected");
    ends("local f = string.format\nreturn f('%d', 1.5)", 3, "");
    ends("return string.format('%p', {})", 2, "not available");
    ends("for k in pairs({[{}] = 1}) do end", 2, "no place in an order");
    ends("local t <close> = {}", 2, "");
    ends("lookup('nosuch', 'x')", 2, "there is no table nosuch");
    ends("lookup()", 2, "");
    ends("for i = 1, 300 do lookup('t', '') end", 2, "more than 200 look-ups");
}

#[test]
fn what_a_script_cannot_say_is_its_fault() {
    ends("return 5", 2, "wanted");
    ends("\nreturn {}", 3, "no channel");
    ends("return {channel = 'smtp', hots = 'x'}", 2, "`hots`");
    ends("return {channel = 'a b'}", 2, "channel");
    ends("return {channel = {}}", 2, "channel");
    ends("return {channel = 'smtp', host = 'a\\nb'}", 2, "control");
    ends("return 'a@b\\0'", 2, "control");
    ends("return '\\xff@b'", 2, "UTF-8");
    ends("return {[{}] = 1}", 2, "field");
    ends("return ('x'):rep(1000)", 2, "longer than");
}

#[test]
fn a_script_that_cannot_be_loaded_says_the_line() {
    let refused = |text: &str, line: usize| {
        let fault = Script::load("router.lua", text, limits()).unwrap_err();
        assert_eq!(fault.line, line, "{fault}");
        assert!(!fault.text.contains("script:"), "{fault}");
    };
    refused("function route(\n", 2);
    refused("function route() end\nx = = 1", 2);
    refused("function route() end\nwhile true do end", 2);
    refused("function route() end\n\nlookup('a', 'b')", 3);
    refused("function route() end\nerror('no')", 2);
    refused("function route() end\nlocal s = 'x' while true do s = s .. s end", 2);
    refused("goto nowhere", 1);
    refused("x = 1", 0);
    refused("\u{1b}Lua", 1);
    refused(&" ".repeat(2 << 20), 0);
}

#[test]
fn the_clock_is_a_net() {
    let limits = Limits { instructions: u64::MAX, memory: 16 << 20, time: Duration::from_millis(20) };
    let mut script = Script::load("router.lua", "function route()\nwhile true do end\nend", limits).unwrap();
    let trouble = script.route(ADDRESS, Envelope::default(), &mut ()).unwrap_err();
    assert_eq!(trouble.to_string(), "router.lua:2: more than 20 ms of processor time");
}
