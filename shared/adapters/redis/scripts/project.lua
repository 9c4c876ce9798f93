-- Writes a counter unless the one that is there is readable and at least as new. Answers 1 if it wrote.
-- KEYS[1] the counter; ARGV[1] the value, ARGV[2] its format number, ARGV[3] its version, ARGV[4] seconds to live.
-- A value is: format (1 byte), version (6 bytes, big-endian), the member's state, Adler-32 of all before (4 bytes).

local HEADER_BYTES = 7
local SUM_BYTES = 4
local ADLER_MODULUS = 65521

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

-- Nothing there answers false, a key of another type an error (a table): neither is a string.
local there = redis.pcall('GET', KEYS[1])
if type(there) == 'string' and #there >= HEADER_BYTES + SUM_BYTES
    and string.byte(there, 1) == tonumber(ARGV[2])
    and big_endian(there, 2, HEADER_BYTES) >= tonumber(ARGV[3])
    -- Last, since it costs most and only a refusal depends on it.
    and is_whole(there)
then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[4])
return 1
