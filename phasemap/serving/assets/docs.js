"use strict";
/* The API's description, drawn by Swagger UI; its tries carry the page's own token. */

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger",
  deepLinking: true,
  validatorUrl: null,
  requestInterceptor: (request) => {
    request.headers["X-CSRF-Token"] = document.querySelector('meta[name="csrf"]').content;
    return request;
  },
});
