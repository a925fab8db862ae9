// The page cannot sign: it shows who can what to send.
const access = {
  closed: () => ({ title: "This page cannot send it", detail: "The gateway takes signed requests alone. Send the image with the command above." }),
  headers: () => ({}),
  refused: () => null,
};
const command = $("command");
command.textContent = [
  `curl --aws-sigv4 "aws:amz:${command.dataset.region}:execute-api"`,
  `--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"`,
  // Only where there is one: curl would sign an empty header, and then not send it.
  `\${AWS_SESSION_TOKEN:+"-Hx-amz-security-token: $AWS_SESSION_TOKEN"}`,
  `-H 'Content-Type: image/jpeg' --data-binary @scan.jpg`,
  `'${location.origin}${base}predict'`,
].join(" \\\n  ");
document.querySelector("main").hidden = true; // there is nothing to drop an image for
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(command.textContent);
  $("copy").textContent = "Copied";
});
