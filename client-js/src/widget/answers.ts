/** A message with all that it can be; begun beside the socket, and there before the first answer is. */

export { passage } from "./citations.ts";
export { Row } from "./message.ts";
export { Sheet } from "./sheet.ts";
export { answerStyles as styles } from "./styles.answers.ts";
