import { serve } from './serve.js'

// The first message is the module.
self.onmessage = ({ data: module }) => {
  self.onmessage = ({ data }) => answer(data)
  const answer = serve(module, (message, buffers) => self.postMessage(message, buffers))
}
