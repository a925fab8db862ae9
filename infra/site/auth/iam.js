// The page cannot sign: it accepts no image and shows the command that does.
const auth = { readOnly: true };
const command = $("command");
command.textContent = [
  `curl --aws-sigv4 "aws:amz:${command.dataset.region}:execute-api"`,
  `--user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"`,
  // Only if it is set: curl would sign an empty header and then not send it.
  `\${AWS_SESSION_TOKEN:+"-Hx-amz-security-token: $AWS_SESSION_TOKEN"}`,
  `-H 'Content-Type: image/jpeg' --data-binary @scan.jpg`,
  `'${location.origin}${base}predict'`,
].join(" \\\n  ");
for (const part of document.querySelectorAll("main > *")) part.hidden = true; // no image can be sent from here
document.querySelector("main").append(document.querySelector(".auth"));
$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(command.textContent);
  $("copy").textContent = "Copied";
});
