// Shows the OpenAPI document with Swagger UI; beside each operation, how to call it and the SQL that answers it.
"use strict";

const viewer = document.getElementById("viewer");

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const followTheSystem = () => document.documentElement.classList.toggle("dark-mode", prefersDark.matches);
prefersDark.addEventListener("change", followTheSystem);
followTheSystem();

// Not left to the browser: what stands behind # is Swagger UI's.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  viewer.focus();
});

// https://swagger.io/docs/open-source-tools/swagger-ui/customization/plugin-api/
const samples = ({ React: { createElement } }) => {
  const code = (source) => createElement("pre", { tabIndex: 0 }, createElement("code", null, source));

  const studyLink = (label) => {
    const href = viewer.dataset.prefix + label.replace(/^sql(.*)\.sql$/, "/study/sql$1");
    return viewer.dataset.study && createElement("a", { href }, `Study ${label}`);
  };

  const sqlFile = ({ label, source }) =>
    createElement("details", { key: label }, createElement("summary", null, label), code(source), studyLink(label));

  const section = ([curl, ...files]) =>
    createElement(
      "section",
      { className: "samples" },
      createElement("h4", null, "With curl"),
      code(curl.source.replace("http://127.0.0.1:8080", location.origin)),
      createElement("h4", null, "The SQL behind it"),
      files.map(sqlFile),
    );

  return {
    wrapComponents: {
      responses: (Original, { specSelectors }) => (props) => {
        const found = specSelectors.specJson().getIn(["paths", props.path, props.method, "x-codeSamples"]);
        return createElement("div", null, found && section(found.toJS()), createElement(Original, props));
      },
    },
  };
};

SwaggerUIBundle({
  domNode: viewer,
  url: `${viewer.dataset.prefix}/docs/openapi.json`,
  plugins: [samples],
  deepLinking: true,
  defaultModelsExpandDepth: -1,
  displayRequestDuration: true,
  validatorUrl: null, // asks nobody else
  requestInterceptor: (request) => {
    const sent = request.headers.Authorization; // people enter the token alone
    if (sent && !/^(token|bearer) /i.test(sent)) request.headers.Authorization = `Token ${sent}`;
    return request;
  },
  onComplete: () => document.getElementById("servers")?.setAttribute("aria-label", "Server"), // it has no label itself
});
