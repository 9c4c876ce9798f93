-- Writes each of some counters unless the one that is there is readable and at least as new. Answers how many it wrote.
-- KEYS the counters; ARGV[1] the values' format number, then of each counter: the value, its version, seconds to live.
-- A value is: format (1 byte), version (6 bytes, big-endian), the member's state, Adler-32 of all before (4 bytes).

local HEADER_BYTES = 7
local SUM_BYTES = 4
local ADLER_MODULUS = 65521
local FORMAT = tonumber(ARGV[1])

local function big_endian(value, first, last)
    local number = 0
    for place = first, last do
        number = number * 256 + string.byte(value, place)
    end
    return number
end

local function is_whole(value)
    local low, high = 1, 0
    for place = 1, #value - SUM_BYTES do
        low = (low + string.byte(value, place)) % ADLER_MODULUS
        high = (high + low) % ADLER_MODULUS
    end
    return big_endian(value, #value - SUM_BYTES + 1, #value) == high * 65536 + low
end

local function is_as_new(there, version)
    -- Nothing there answers false, a key of another type an error (a table): neither is a string.
    return type(there) == 'string' and #there >= HEADER_BYTES + SUM_BYTES
        and string.byte(there, 1) == FORMAT
        and big_endian(there, 2, HEADER_BYTES) >= version
        -- Last, since it costs most and only a refusal depends on it.
        and is_whole(there)
end

local written = 0
for place, key in ipairs(KEYS) do
    local value, version, seconds = ARGV[3 * place - 1], ARGV[3 * place], ARGV[3 * place + 1]
    if not is_as_new(redis.pcall('GET', key), tonumber(version)) then
        redis.call('SET', key, value, 'EX', seconds)
        written = written + 1
    end
end
return written
