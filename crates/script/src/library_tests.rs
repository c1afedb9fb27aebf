//! The functions that scripts are given.

use crate::{Address, Envelope, Limits, Route, Script};

/// What an expression is, as text.
fn value(expression: &str) -> String {
    let text = format!(
        "function route(a) local function r(...) local t = table.pack(...) for i = 1, t.n do t[i] = tostring(t[i]) end return table.concat(t, '|') end return r({expression}) end"
    );
    let mut script = Script::load("router.lua", &text, Limits::default()).unwrap();
    match script.route(Address::default(), Envelope::default(), &mut ()) {
        Ok(Some(Route::Address(text))) => text,
        other => panic!("{expression}: {other:?}"),
    }
}

#[test]
fn texts() {
    for (expression, wanted) in [
        ("('abc'):upper(), ('ABC'):lower(), ('abc'):reverse(), #'abc', ('abc'):len()", "ABC|abc|cba|3|3"),
        ("('abcdef'):sub(2, 4), ('abc'):sub(-2), ('abc'):byte(1, -1)", "bcd|bc|97|98|99"),
        ("string.char(97, 98), ('ab'):rep(3, '-'), ('ab'):rep(0), ('ab'):rep(-1)", "ab|ab-ab-ab||"),
        ("('a.b.c'):find('.b'), ('abc'):find('x'), ('abab'):find('ab', 2)", "2|nil|3|4"),
        ("('abc'):starts_with('ab'), ('abc'):starts_with('b'), ('abc'):ends_with('bc')", "true|false|true"),
        ("table.concat(('a,b,,c'):split(','), '+'), #(''):split(',')", "a+b++c|1"),
        ("('a.b.c'):replace('.', '--'), ('  a b '):trim()", "a--b--c|a b"),
        ("('joe-x@y'):match('^(.*)-(.*)@'), ('joe'):match('o.'), match('joe', 'x')", "joe|oe|nil"),
        ("('JOE'):match('(?i)joe'), ('ab'):match('(a)|(b)')", "JOE|a|nil"),
        ("('%d-%s-%5.1f-%%p-%q'):format(3, {}, 2.25, 'x')", "3-table-  2.2-%p-\"x\""),
    ] {
        assert_eq!(value(expression), wanted, "{expression}");
    }
}

#[test]
fn values_and_tables() {
    for (expression, wanted) in [
        (
            "tostring({}), tostring(route), tostring(1.5), tonumber('0x10'), tonumber('z', 36), tonumber('x')",
            "table|function|1.5|16|35|nil",
        ),
        ("type(nil), type({}), type('x'), select('#', 1, nil), select(2, 'a', 'b')", "nil|table|string|2|b"),
        ("table.unpack({1, 2, 3}, 2), #table.pack(1, 2), table.remove({1, 2})", "2|2|2"),
        ("math.floor(1.5), math.max(1, 3), math.min(2, 1), math.abs(-1), math.tointeger(3.0), math.type(1)", "1|3|1|1|3|integer"),
        ("assert(1, 2), refuse('x').refuse, defer('x').defer", "1|x|x"),
        ("(function() local t = {3, 1, 2} table.sort(t) table.insert(t, 1, 0) table.insert(t, 9) return table.concat(t) end)()", "01239"),
        ("(function() local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) return table.concat(t) end)()", "321"),
        ("(function() local n = 0 for i, v in ipairs({5, 6, nil, 7}) do n = n + i * v end return n end)()", "17"),
    ] {
        assert_eq!(value(expression), wanted, "{expression}");
    }
}
