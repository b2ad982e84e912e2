// Swagger UI, in the dark or light mode that the browser prefers.

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
const setMode = () => document.documentElement.classList.toggle("dark-mode", prefersDark.matches);
prefersDark.addEventListener("change", setMode);
setMode();

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: true,
  syntaxHighlight: { theme: "obsidian" },
  tryItOutEnabled: true,
});
