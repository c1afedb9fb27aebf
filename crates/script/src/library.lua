-- What a script may use, made of the parts of Lua's own library that cannot be misused and of functions of ours.
-- Given: c, the globals of Lua; r, our functions. Nothing of c is reachable by a script but what is named here.
local c, r = ...
local type, select, next, setmetatable, rawget, rawset = c.type, c.select, c.next, c.setmetatable, c.rawget, c.rawset
local format, sort, unpack, insert, remove = c.string.format, c.table.sort, c.table.unpack, c.table.insert, c.table.remove
local charge, mistake = r.charge, r.mistake

-- Bytes that cost no more than a call.
local SHORT = 256
-- Bytes that repetition may make.
local LONGEST = 1 << 20

local function is(value, wanted, name)
  if type(value) ~= wanted then
    mistake(name .. ": " .. wanted .. " expected, got " .. type(value))
  end
end

-- A function of C that works as long as its text is.
local function of_text(name, f)
  return function(text, ...)
    is(text, "string", name)
    if #text > SHORT then charge(#text // 16) end
    return f(text, ...)
  end
end

-- Objects have no address here: it would differ from router to router.
local function plain(value)
  local kind = type(value)
  if kind == "table" or kind == "function" or kind == "userdata" or kind == "thread" then return kind end
  return value
end

local strings = {
  len = c.string.len,
  sub = of_text("sub", c.string.sub),
  upper = of_text("upper", c.string.upper),
  lower = of_text("lower", c.string.lower),
  reverse = of_text("reverse", c.string.reverse),
  byte = of_text("byte", c.string.byte),
  char = c.string.char,
  find = r.find,
  match = r.match,
  starts_with = r.starts_with,
  ends_with = r.ends_with,
  split = r.split,
  replace = r.replace,
  trim = r.trim,
}

function strings.rep(text, times, between)
  is(text, "string", "rep")
  is(times, "number", "rep")
  between = between or ""
  is(between, "string", "rep")
  local size = #text + #between
  if times > LONGEST or size * times > LONGEST then mistake("rep: more than " .. LONGEST .. " bytes") end
  charge(times > 0 and c.math.ceil(size * times / 16) or 1)
  return c.string.rep(text, times, between)
end

function strings.format(form, ...)
  is(form, "string", "format")
  if not r.harmless(form) then mistake("format: %p is not available") end
  local values, count = { ... }, select("#", ...)
  for i = 1, count do
    local value = plain(values[i])
    if type(value) == "string" and #value > SHORT then charge(#value // 16) end
    values[i] = value
  end
  return format(form, unpack(values, 1, count))
end

local tables = { pack = c.table.pack }

function tables.concat(list, ...)
  is(list, "table", "concat")
  charge(#list + 1)
  return c.table.concat(list, ...)
end

function tables.insert(list, ...)
  is(list, "table", "insert")
  if select("#", ...) > 1 then charge(#list + 1) end
  return insert(list, ...)
end

function tables.remove(list, ...)
  is(list, "table", "remove")
  if select("#", ...) > 0 then charge(#list + 1) end
  return remove(list, ...)
end

function tables.sort(list, before)
  is(list, "table", "sort")
  charge(#list * 20 + 1)
  if before == nil then
    -- Without a function of the script's nothing is counted on the way, and a comparison takes as long as its texts are.
    local longest = SHORT
    for i = 1, #list do
      local value = rawget(list, i)
      if type(value) == "string" and #value > longest then longest = #value end
    end
    if longest > SHORT then charge(#list * 20 * (longest // 16)) end
  end
  return sort(list, before)
end

function tables.unpack(list, from, to)
  is(list, "table", "unpack")
  from, to = from or 1, to or #list
  is(from, "number", "unpack")
  is(to, "number", "unpack")
  if to - from > 250 then mistake("unpack: more than 250 values") end
  return unpack(list, from, to)
end

local numbers = {
  abs = c.math.abs, ceil = c.math.ceil, floor = c.math.floor, fmod = c.math.fmod, max = c.math.max, min = c.math.min,
  tointeger = c.math.tointeger, type = c.math.type,
  huge = c.math.huge, maxinteger = c.math.maxinteger, mininteger = c.math.mininteger,
}

-- A walk in the order of the keys: numbers, then texts by their bytes, then booleans.
local function ordered(t)
  is(t, "table", "pairs")
  local keys, texts, booleans, n, m = {}, {}, {}, 0, 0
  for key in next, t do
    local kind = type(key)
    if kind == "number" then
      n = n + 1
      keys[n] = key
    elseif kind == "string" then
      m = m + 1
      texts[m] = key
    elseif kind == "boolean" then
      booleans[#booleans + 1] = key
    else
      mistake("pairs: a key that is a " .. kind .. " has no place in an order")
    end
  end
  charge((n + m) * 20 + 1)
  sort(keys)
  sort(texts)
  for i = 1, m do keys[n + i] = texts[i] end
  for _, key in c.ipairs(booleans) do keys[#keys + 1] = key end
  local at = 0
  return function()
    while true do
      at = at + 1
      local key = keys[at]
      if key == nil then return nil end
      local value = t[key]
      if value ~= nil then return key, value end
    end
  end
end

local public = {
  _VERSION = c._VERSION,
  type = type,
  select = select,
  ipairs = c.ipairs,
  pairs = ordered,
  error = r.error,
  assert = r.assert,
  log = r.log,
  match = r.match,
  tostring = function(value) return c.tostring(plain(value)) end,
  tonumber = function(value, base)
    if type(value) == "string" and #value > SHORT then return nil end
    return c.tonumber(value, base)
  end,
  lookup = function() mistake("lookup: tables can be asked within a hook only") end,
  refuse = function(text) return { refuse = text } end,
  defer = function(text) return { defer = text } end,
}

local function frozen(library, name)
  return setmetatable({}, {
    __index = library,
    __newindex = function() mistake(name .. ": the library cannot be changed") end,
    __metatable = false,
  })
end
public.string, public.table, public.math = frozen(strings, "string"), frozen(tables, "table"), frozen(numbers, "math")

local absent = {
  __index = function(_, name)
    mistake((type(name) == "string" and #name < 60 and name or "this name") .. " is not defined here")
  end,
}
local environment = { __index = setmetatable(public, absent), __metatable = false }

-- One call: the text of the script, from its beginning, then the hook. What it leaves behind nobody can reach.
local function begun(chunk)
  local env = setmetatable({}, environment)
  chunk(env)
  return env
end

local function address(text, user, domain, detail)
  return text and { text = text, user = user, domain = domain, detail = detail }
end

local function call(chunk, lookup, name, a, au, ad, at, b, bu, bd, bt, channel, host, word, sender, size, client, helo, user, protocol, arrived, recipients)
  local env = begun(chunk)
  rawset(env, "lookup", lookup)
  local hook = rawget(env, name)
  local first, second = address(a, au, ad, at), address(b, bu, bd, bt)
  local envelope = {
    sender = sender, size = size, client = client, helo = helo, user = user, protocol = protocol, arrived = arrived,
    recipients = recipients,
  }
  if name == "crossbar" then
    second.channel, second.host = channel, host
    return hook(first, second, envelope)
  elseif name == "expand" then
    return hook(word, host, envelope)
  elseif name == "policy" then
    return hook(envelope, first)
  end
  return hook(first, envelope, word)
end

local function defines(chunk, name)
  return type(rawget(begun(chunk), name)) == "function"
end

return { __index = strings, __metatable = false }, call, defines
