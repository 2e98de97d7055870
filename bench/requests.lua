-- What wrk sends and prints: the requests of a file, round and round, and one line of JSON at the end.
--
--   wrk ... -s requests.lua URL -- FILE START [RUN]
--
-- FILE has a request in each line: method, path, token, body, separated by tabs, the last two often empty.
-- START says how many lines to skip at first, so that repetitions differ. With a RUN, which is the number of
-- this run alone, each GET carries it and a number of its own in a parameter that means nothing: no cache can
-- have its answer.

local requests = {}
local position = 0
local sent = 0

function init(arguments)
    local run = arguments[3]
    for line in io.lines(arguments[1]) do
        local method, path, token, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)$")
        local headers = {}
        if token ~= "" then headers["Authorization"] = "Token " .. token end
        if body ~= "" then headers["Content-Type"] = "application/json" else body = nil end
        -- The Host header stands in wrk.headers; a table of our own would hide it.
        for name, value in pairs(wrk.headers) do headers[name] = value end
        if run and method == "GET" then
            path = path .. (path:find("?", 1, true) and "&_=" or "?_=") .. run .. "-"
        end
        local text = wrk.format(method, path, headers, body)
        local mark = run and text:find("- HTTP", 1, true)
        requests[#requests + 1] = mark and {text:sub(1, mark), text:sub(mark + 1)} or text
    end
    position = tonumber(arguments[2]) % #requests
end

function request()
    position = position % #requests + 1
    local text = requests[position]
    if type(text) == "string" then return text end
    sent = sent + 1
    return text[1] .. sent .. text[2]
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f, "max_ms": %f, "refused": %d, "broken": %d}\n',
        summary.requests, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
        errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
