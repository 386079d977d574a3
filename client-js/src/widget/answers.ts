/**
 * A message with all that it can be, what holds many of them, and what lies over them; begun beside the socket, and
 * there before the first answer is.
 */

export { Book } from "./book.ts";
export { passage } from "./citations.ts";
export { Row } from "./message.ts";
export { Sheet } from "./sheet.ts";
export { answerStyles as styles } from "./styles.answers.ts";
