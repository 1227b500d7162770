// The origin's IndexedDB, which all its tabs see the same at the same time.

let opening: Promise<IDBDatabase> | undefined;

/** Does one thing to the values by their keys; it is done when it is on the disk. */
export async function inValues<T = unknown>(
  mode: IDBTransactionMode,
  work: (values: IDBObjectStore) => IDBRequest<T>,
): Promise<T> {
  let transaction: IDBTransaction;
  try {
    transaction = (await open()).transaction(VALUES, mode);
  } catch {
    // The browser has closed it, as it does when the user clears the site's data.
    opening = undefined;
    transaction = (await open()).transaction(VALUES, mode);
  }
  const request = work(transaction.objectStore(VALUES));
  // Where nothing follows from the result it need not be waited for: a page that hangs in the middle
  // would stop everybody else's changes for a minute.
  if (request.onsuccess === null) transaction.commit?.();
  return new Promise((resolve, reject) => {
    // Whatever fails aborts it. Of one that was committed not every browser says why, and Firefox goes
    // on with what comes behind the request that failed.
    transaction.oncomplete = () =>
      request.error ? reject(request.error) : resolve(request.result);
    transaction.onabort = () => reject(request.error ?? transaction.error);
  });
}

const VALUES = "values";

function open(): Promise<IDBDatabase> {
  return (opening ??= new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open("gatepass", 1);
    request.onupgradeneeded = () => void request.result.createObjectStore(VALUES);
    request.onerror = () => reject(request.error);
    request.onsuccess = () => {
      const database = request.result;
      // Whoever wants to delete or change it need not wait for this page.
      database.onversionchange = () => database.close();
      resolve(database);
    };
  }).catch((cause: unknown) => {
    opening = undefined;
    throw cause;
  }));
}
