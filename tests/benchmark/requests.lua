-- wrk sends the requests of a file over and over: one a line, method, path and body apart by tabs.

local requests, sent = {}, 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    local method, path, body = line:match("^(%S+)\t(%S+)\t(.*)$")
    if body == "" then
      table.insert(requests, wrk.format(method, path))
    else
      table.insert(requests, wrk.format(method, path, {["Content-Type"] = "application/json"}, body))
    end
  end
end

function request()
  sent = sent % #requests + 1
  return requests[sent]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "seconds": %f, "wrong_statuses": %d, "broken": %d, ' ..
    '"p50_ms": %f, "p99_ms": %f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
