% headers = ["Authorization: `Token ${token}`"] * (auth == "required") + ['"Content-Type": "application/json"'] * bool(body)
const answer = await fetch("{{!host}}{{!address}}"\\
% if headers or method != "GET":
, {
    method: "{{!method}}",
% if headers:
    headers: { {{!", ".join(headers)}} },
% end
% if body:
    body: JSON.stringify({{!body}}),
% end
}\\
% end
);
% if method != "DELETE":
console.log(await answer.json());
% end
