//! Private copies of buckets.

use std::sync::atomic::Ordering::Relaxed;

use crate::error::Result;
use crate::heap::Memory;
use crate::layout::Offset;
use crate::layout::bucket::{BucketAt, Cell, Cells, Form, MOST_WORDS, PAIR_WORDS, Tags};
use crate::os::copy;
use crate::region::Region;
use crate::store::Transaction;

use super::buckets::{Chain, Content};
use super::record::{Payload, write_record};

/// Writes an overflow bucket and returns the address of its record.
pub(super) fn overflow_bucket(change: &mut Transaction<'_>, stripe: u32, image: &Image) -> Result<u64> {
    write_record(change, stripe, &[], Payload::Words(image.words()), 0)
}

impl Chain<'_> {
    /// Returns a copy of the present bucket.
    pub(crate) fn image(&self) -> Result<Image> {
        Image::of(self.source(), self.at())
    }
}

/// A private copy of a bucket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Image {
    form: Form,
    /// The tags, if it is one of pairs, then the cells.
    words: [u64; MOST_WORDS],
}

impl Image {
    pub(super) fn empty(form: Form) -> Self {
        Image { form, words: [0; MOST_WORDS] }
    }

    /// Returns a copy of the bucket at an address.
    pub(crate) fn of(region: &Region, bucket: BucketAt) -> Result<Self> {
        let form = region.geometry().form;
        let mut image = Image::empty(form);
        let (tags, cells) = image.words[..form.words()].split_at_mut(form.tag_words());
        if let [tags] = tags {
            *tags = region.word(bucket.tags)?.load(Relaxed);
        }
        copy::load_words(region.words(bucket.cells, cells.len() as u64)?, cells);
        Ok(image)
    }

    pub(super) fn form(&self) -> Form {
        self.form
    }

    /// Returns all words of the bucket, as an overflow bucket's record has them.
    pub(super) fn words(&self) -> &[u64] {
        &self.words[..self.form.words()]
    }

    fn tags(&self) -> Tags {
        Tags(self.words[0])
    }

    /// Returns where key and value of a cell are, if it is a bucket of pairs.
    fn pair(cell: usize) -> usize {
        Form::Pairs.tag_words() + cell * PAIR_WORDS
    }

    /// Returns the used cells.
    #[inline]
    fn used(&self) -> Cells {
        match self.form {
            Form::Records => Cells::of(self.form.cells(), |cell| !Cell(self.words[cell]).is_empty()),
            Form::Pairs => self.tags().used(),
        }
    }

    /// Returns what a used cell holds.
    #[inline]
    pub(super) fn content(&self, cell: usize) -> Content {
        match self.form {
            Form::Records => Content::Record(Cell(self.words[cell])),
            Form::Pairs => {
                let pair = Self::pair(cell);
                Content::Pair { tag: self.tags().tag(cell), key: self.words[pair], value: self.words[pair + 1] }
            }
        }
    }

    /// Returns the used cells and what they hold.
    #[inline]
    pub(crate) fn contents(&self) -> impl Iterator<Item = (usize, Content)> {
        self.used().map(|cell| (cell, self.content(cell)))
    }

    /// Returns the number of used cells.
    pub(crate) fn count(&self) -> usize {
        self.used().count()
    }

    /// Returns whether no cell is used; bits may still be set.
    pub(crate) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Returns whether an unused cell has bits set that should be clear.
    pub(crate) fn has_stray_bits(&self) -> bool {
        match self.form {
            Form::Records => self.words[..self.form.cells()].iter().any(|word| Cell(*word).is_empty() && *word != 0),
            Form::Pairs => self.used().fold(self.tags().without_link(), Tags::without).0 != 0,
        }
    }

    pub(super) fn clear(&mut self, cell: usize) {
        match self.form {
            Form::Records => self.words[cell] = 0,
            Form::Pairs => self.words[0] = self.tags().without(cell).0,
        }
    }

    /// Returns its overflow bucket, or 0.
    pub(crate) fn link(&self) -> u64 {
        match self.form {
            Form::Pairs if !self.tags().has_link() => 0,
            form => self.words[form.tag_words() + form.link()],
        }
    }

    /// Sets the link. It occupies the last cell of a bucket of pairs.
    pub(super) fn set_link(&mut self, link: u64) {
        if self.form == Form::Pairs {
            self.words[0] = if link == 0 { self.tags().without_link().0 } else { self.tags().with_link().0 };
            if link == 0 {
                return;
            }
        }
        self.words[self.form.tag_words() + self.form.link()] = link;
    }

    /// Puts something into an unused cell. Returns whether there was one.
    #[inline]
    pub(super) fn put(&mut self, content: Content) -> bool {
        let cell = match content {
            Content::Record(_) => (0..self.form.cells()).find(|cell| Cell(self.words[*cell]).is_empty()),
            Content::Pair { tag, .. } => self.tags().free_for(tag),
        };
        let Some(cell) = cell else { return false };
        match content {
            Content::Record(content) => self.words[cell] = content.0,
            Content::Pair { tag, key, value } => {
                let pair = Self::pair(cell);
                self.words[0] = self.tags().with(cell, tag).0;
                (self.words[pair], self.words[pair + 1]) = (key, value);
            }
        }
        true
    }

    /// Returns the words with the places where they belong in a bucket.
    fn placed(&self, bucket: BucketAt) -> impl Iterator<Item = (Offset, u64)> {
        let (tags, cells) = self.words().split_at(self.form.tag_words());
        let tags = tags.iter().map(move |word| (Offset::at(bucket.tags), *word));
        tags.chain(cells.iter().enumerate().map(move |(i, word)| (bucket.cell(i), *word)))
    }

    /// Writes the copy back to a bucket.
    pub(super) fn store(&self, change: &mut Transaction<'_>, bucket: BucketAt) -> Result<()> {
        for (place, word) in self.placed(bucket) {
            if change.load(place)? != word {
                change.write(place, word)?;
            }
        }
        Ok(())
    }

    /// Fills a bucket of a new segment.
    pub(super) fn fill(&self, change: &mut Transaction<'_>, bucket: BucketAt) -> Result<()> {
        let region = change.store().region();
        let (tags, cells) = self.words().split_at(self.form.tag_words());
        change.audit_unlogged(Offset::at(bucket.tags), tags.len() as u64);
        change.audit_unlogged(Offset::at(bucket.cells), cells.len() as u64);
        if let [tags] = tags {
            region.word(bucket.tags)?.store(*tags, Relaxed);
        }
        copy::store_words(region.words(bucket.cells, cells.len() as u64)?, cells);
        crate::os::steps::step();
        Ok(())
    }

    /// Fills the bucket after the last one of the index, which the same change may have taken out of use.
    pub(super) fn fill_behind_last(&self, change: &mut Transaction<'_>, bucket: BucketAt) -> Result<()> {
        if change.has_shortened() { self.store(change, bucket) } else { self.fill(change, bucket) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::buckets::CELLS;
    use super::*;
    use crate::layout::bucket::Tag;

    #[test]
    fn an_image_takes_what_fits() {
        for form in [Form::Records, Form::Pairs] {
            let mut contents = (1..).map(|i| match form {
                Form::Records => Content::Record(Cell::new(i * 8, i)),
                Form::Pairs => Content::Pair { tag: Tag::new(i << 37, i % 2 == 0), key: i, value: i * 8 },
            });
            let mut fill = |image: &mut Image| contents.by_ref().take_while(|content| image.put(*content)).count();
            let mut image = Image::empty(form);
            assert!(image.is_empty());
            assert_eq!((fill(&mut image), image.count()), (form.cells(), form.cells()));
            image.clear(3);
            let others: Vec<_> = (0..form.cells()).filter(|cell| *cell != 3).collect();
            assert_eq!(image.contents().map(|(cell, _)| cell).collect::<Vec<_>>(), others);
            assert_eq!((fill(&mut image), image.link()), (1, 0));
            image.set_link(0);
            assert!(image.count() == form.cells() && !image.has_stray_bits());
            image.clear(form.cells() - 1);
            image.set_link(88);
            assert_eq!(fill(&mut image), CELLS - (form.cells() - 1));
            assert!(image.count() == CELLS && image.link() == 88 && !image.has_stray_bits());
            image.set_link(0);
            assert!(image.count() == CELLS && image.link() == 0 && !image.has_stray_bits());
        }
    }
}
