// The page cannot sign: it takes no image, and shows who can sign what to send.
const access = { shut: true };
const command = $("command");
command.textContent = [
  `curl --aws-sigv4 "aws:amz:${command.dataset.region}:execute-api"`,
  `--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"`,
  // Only where there is one: curl would sign an empty header, and then not send it.
  `\${AWS_SESSION_TOKEN:+"-Hx-amz-security-token: $AWS_SESSION_TOKEN"}`,
  `-H 'Content-Type: image/jpeg' --data-binary @scan.jpg`,
  `'${location.origin}${base}predict'`,
].join(" \\\n  ");
for (const part of document.querySelectorAll("main > *")) part.hidden = true; // there is nothing to drop an image for
document.querySelector("main").append(document.querySelector(".access"));
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(command.textContent);
  $("copy").textContent = "Copied";
});
