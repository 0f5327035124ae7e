/** Bridge until `message.ts` imports it from where it is. */
export { AuthorFields, MAX_ADDRESS_TEXT } from '../app/authorship.ts'
