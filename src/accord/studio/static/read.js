// Pages on which texts are read, as on the work page.
import { ready } from "./maths.js";

for (const content of document.querySelectorAll(".content")) ready(content);
